import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

describe('startCluster()', function () {
  this.timeout(30_000);

  it('loads no package and no part of Node before it is ready that ready does not need', async () => {
    // A process of its own: this one has loaded all sorts of things. What is loaded costs start time and memory (design.md).
    const script = `import { registerHooks } from 'node:module';
      const packages = new Set();
      registerHooks({ load(url, context, next) {
        const [, name] = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url) ?? [];
        if (name) packages.add(name);
        return next(url, context);
      } });
      const { startCluster } = await import(${JSON.stringify(new URL('cluster.ts', import.meta.url).href)});
      await using cluster = await startCluster({ runtime: 'hollow', httpsPort: 0 });
      const undici = process.moduleLoadList.includes('NativeModule internal/deps/undici/undici');
      const loaded = [...packages].sort();
      await import(${JSON.stringify(import.meta.resolve('ws'))});
      process.stdout.write(JSON.stringify({ loaded, undici, hookWorks: packages.has('ws') }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 25_000 });
    const { loaded, undici, hookWorks } = JSON.parse(stdout) as { loaded: string[]; undici: boolean; hookWorks: boolean };
    expect(hookWorks).to.equal(true);
    expect(loaded, 'a package joins with a measurement of its load time in the commit').to.deep.equal([]);
    expect(undici, 'undici comes with an import of node:http by name; take machinery/base/http.ts').to.equal(false);
  });
});
