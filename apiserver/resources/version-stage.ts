// How far an API version is, by its name.
export type Stage = 'ga' | 'beta' | 'alpha';

export function byStage(version: string): Stage {
  const found = /^v\d+(alpha|beta)\d+$/.exec(version);
  return (found?.[1] as Stage | undefined) ?? 'ga'; // what the pattern captures
}
