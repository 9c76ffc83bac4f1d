import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

function proa(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'cli.ts'), ...args], { encoding: 'utf8', timeout: 20_000 });
  return { code: status, stdout, stderr };
}
const components = ['server', 'apiserver', 'scheduler', 'controllers', 'kubelet', 'proxy', 'dns'];

describe('proa', function () {
  this.timeout(30_000);

  it('--help names every command and ends with 0; no command at all is a usage error', () => {
    const help = proa('--help');
    expect(help.code).to.equal(0);
    for (const name of components) expect(help.stdout).to.match(new RegExp(`^  ${name} `, 'm'));
    expect(proa().code).to.equal(2);
  });

  it('an unknown command is one line and exit code 2', () => {
    expect(proa('frobnicate')).to.deep.include({ code: 2, stdout: '' }).and.to.have.property('stderr').that.matches(/^proa: unknown command "frobnicate"; commands: .*\n$/);
  });

  for (const name of components) {
    it(`${name} refuses an unknown flag in one line, and --help lists the flags`, () => {
      const refused = proa(name, '--frobnicate');
      expect(refused.code).to.equal(2);
      expect(refused.stderr).to.match(/^proa[^\n]*: unknown flag --frobnicate; --help lists the flags\n$/);
      const help = proa(name, '--help');
      expect(help.code).to.equal(0);
      expect(help.stdout).to.include(`Usage: proa ${name}`).and.to.match(/^ {2}--[a-z-]+/m);
    });
  }

  it('apiserver names a file that it cannot read', () => {
    const refused = proa('apiserver', '--sqlite-file', '/tmp/x.db', '--service-account-signing-key-file', '/nonexistent/key');
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('--service-account-signing-key-file: cannot read /nonexistent/key');
  });
});
