import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod } from '#machinery/api/object.ts';
import type { PayloadInput } from './payload.ts';
import { createVolumes } from './volumes.ts';

const missing = (): Promise<never> => Promise.reject(new Error('configmap "gone" not found'));

describe('volumes', () => {
  const root = mkdtempSync(join(tmpdir(), 'proa-volumes-'));
  after(() => rmSync(root, { recursive: true, force: true }));

  it('setUp() names the volume that failed and updates the others all the same', async () => {
    const volumes = createVolumes(root);
    const pod = (stage: string): Pod => ({
      metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { stage } },
      spec: {
        containers: [],
        volumes: [
          { name: 'broken', configMap: { name: 'gone' } },
          { name: 'labels', downwardAPI: { items: [{ path: 'stage', fieldRef: { fieldPath: "metadata.labels['stage']" } }] } },
        ],
      },
    });
    const input = {
      references: { configMap: missing, secret: missing } as PayloadInput['references'],
      addresses: { podIps: [], hostIp: '', nodeName: 'node' }, allocatable: {}, token: () => Promise.resolve(''),
    };
    for (const stage of ['one', 'two']) {
      const failure = await volumes.setUp(pod(stage), input).catch((error: unknown) => error);
      expect(failure).to.include({ volume: 'broken' }).and.to.have.property('message').that.includes('configmap "gone" not found');
      expect(readFileSync(join(volumes.podDir('u'), 'volumes/kubernetes.io~downward-api/labels/stage'), 'utf8')).to.equal(stage);
    }
  });
});
