// `/version`: the API level that clients may count on, and which proa it is.
import packageJson from '../../package.json' with { type: 'json' };

export const apiLevel = { major: '1', minor: '36' } as const;

export const versionInfo = {
  ...apiLevel,
  emulationMajor: apiLevel.major, emulationMinor: apiLevel.minor,
  minCompatibilityMajor: apiLevel.major, minCompatibilityMinor: '35',
  gitVersion: `v${apiLevel.major}.${apiLevel.minor}.0+proa${packageJson.version}`,
  gitCommit: '', gitTreeState: 'clean', buildDate: '1970-01-01T00:00:00Z',
  goVersion: `node${process.versions.node}`, compiler: 'node', platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};
