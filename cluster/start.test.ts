import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

// Some room for what grows; the size today is 476 files, 2.8 MB.
const maxFiles = 490;
const maxBytes = 2_950_000;

describe('startCluster()', function () {
  this.timeout(30_000);

  it('loads no package and no part of Node before it is ready that ready does not need', async () => {
    // A process of its own: this one has loaded all sorts of things. What is loaded costs start time and memory (design.md).
    const script = `import { registerHooks } from 'node:module';
      import { statSync } from 'node:fs';
      const packages = new Set();
      const own = { files: 0, bytes: 0 };
      registerHooks({ load(url, context, next) {
        const [, name] = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url) ?? [];
        if (name) packages.add(name);
        else if (url.startsWith('file:')) {
          own.files += 1;
          own.bytes += statSync(new URL(url)).size;
        }
        return next(url, context);
      } });
      const { startCluster } = await import(${JSON.stringify(new URL('cluster.ts', import.meta.url).href)});
      await using cluster = await startCluster({ runtime: 'hollow', httpsPort: 0 });
      const undici = process.moduleLoadList.includes('NativeModule internal/deps/undici/undici');
      const loaded = [...packages].sort();
      const source = { ...own };
      await import(${JSON.stringify(import.meta.resolve('ws'))});
      process.stdout.write(JSON.stringify({ loaded, undici, source, hookWorks: packages.has('ws') }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 25_000 });
    const { loaded, undici, source, hookWorks } = JSON.parse(stdout) as { loaded: string[]; undici: boolean; source: { files: number; bytes: number }; hookWorks: boolean };
    expect(hookWorks).to.equal(true);
    expect(loaded, 'a package joins with a measurement of its load time in the commit').to.deep.equal([]);
    // A file costs 0.3 ms of CPU: import what only some requests need when the first of them comes, before raising this.
    expect(source.files, 'files of our own').to.be.within(300, maxFiles);
    expect(source.bytes, 'bytes in them').to.be.within(1_000_000, maxBytes);
    expect(undici, 'undici comes with an import of node:http by name; take machinery/base/http.ts').to.equal(false);
  });
});
