import { expect } from 'chai';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ProtobufError, encodeWatchFrame, isProtobuf, loadProtobuf } from './protobuf.ts';
import type { ProtobufCodec } from './protobuf.ts';

const golden = join(import.meta.dirname, '../../../shared/wire');

describe('protobuf', () => {
  let codec: ProtobufCodec;
  before(async () => { codec = await loadProtobuf(); });

  it('round trip keeps every kind of field', () => {
    const object = {
      kind: 'Deployment', apiVersion: 'apps/v1',
      metadata: { name: 'web', namespace: 'a', labels: { b: '2', a: '1' }, creationTimestamp: '2026-01-02T03:04:05Z', managedFields: [{ manager: 'm', fieldsV1: { 'f:spec': {} } }] },
      spec: {
        replicas: 0, selector: { matchLabels: { app: 'x' } }, strategy: { rollingUpdate: { maxSurge: '25%', maxUnavailable: 1 } },
        template: {
          metadata: {},
          spec: {
            containers: [{
              name: 'c', image: 'i', env: [{ name: 'E', valueFrom: { configMapKeyRef: { name: 'cm', key: 'k', optional: false } } }],
              resources: { limits: { cpu: '100m' } }, livenessProbe: { httpGet: { port: 'http', path: '/' }, periodSeconds: 3 },
            }],
            volumes: [{ name: 'v', emptyDir: {} }],
          },
        },
      },
      status: {},
    };
    const bytes = codec.encode(object);
    expect(bytes && isProtobuf(bytes)).to.equal(true);
    expect(codec.decode(bytes ?? Buffer.alloc(0))).to.deep.equal(object);
  });

  it('bytes are base64 in JSON, durations and micro times are text', () => {
    const secret = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's' }, data: { k: Buffer.from('hi').toString('base64') } };
    expect(codec.decode(codec.encode(secret) ?? Buffer.alloc(0))).to.deep.equal(secret);
    const lease = { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1', metadata: { name: 'l' }, spec: { renewTime: '2026-01-02T03:04:05.678901Z', leaseDurationSeconds: 40 } };
    expect(codec.decode(codec.encode(lease) ?? Buffer.alloc(0))).to.deep.equal(lease);
  });

  it('options are found in every group version', () => {
    const options = { kind: 'DeleteOptions', apiVersion: 'apps/v1', gracePeriodSeconds: 0, propagationPolicy: 'Background' };
    expect(codec.decode(codec.encode(options) ?? Buffer.alloc(0))).to.deep.equal(options);
  });

  it('has() and encode() know no custom resources', () => {
    expect(codec.has('example.com/v1', 'Pod')).to.equal(false);
    expect(codec.encode({ apiVersion: 'example.com/v1', kind: 'Widget' })).to.equal(undefined);
  });

  for (const [title, bytes] of [
    ['no envelope', Buffer.from('{}')],
    ['an unknown kind', Buffer.concat([Buffer.from('k8s\0'), Buffer.from([10, 9, 10, 2, 118, 49, 18, 3, 70, 111, 111])])],
    ['a message that is cut short', Buffer.concat([Buffer.from('k8s\0'), Buffer.from([10, 9, 10, 2, 118, 49, 18, 3, 80, 111, 100, 18, 3, 10, 200, 1])])],
    ['garbage', Buffer.concat([Buffer.from('k8s\0'), Buffer.alloc(20, 0xff)])],
  ] as const) {
    it(`decode() refuses ${title}`, () => {
      expect(() => codec.decode(bytes)).to.throw(ProtobufError);
    });
  }

  it('decode() does not fall for __proto__ as a map key', () => {
    const object = codec.decode(codec.encode({ kind: 'ConfigMap', apiVersion: 'v1', metadata: {}, data: JSON.parse('{"__proto__":"x"}') as object }) ?? Buffer.alloc(0));
    expect(Object.keys(object.data as object)).to.deep.equal(['__proto__']);
  });

  it('encodeWatchFrame() puts the length in front', () => {
    const frame = encodeWatchFrame('ADDED', Buffer.from('k8s\0'));
    expect(frame.readUInt32BE(0)).to.equal(frame.length - 4);
  });

  it('golden samples decode to their JSON and encode to the same bytes', function () {
    if (!existsSync(golden)) {
      if (this.test) this.test.title += ' (skipped: the samples are not part of the project)';
      this.skip();
    }
    const differing: string[] = [];
    for (const file of readdirSync(golden).filter((name) => name.endsWith('.pb'))) {
      const bytes = readFileSync(join(golden, file));
      const object = JSON.parse(readFileSync(join(golden, file.replace(/pb$/, 'json')), 'utf8')) as Record<string, unknown>;
      if (!object.apiVersion || !object.kind) continue; // meta types without an envelope's names
      const encoded = codec.encode(object);
      if (!encoded?.equals(bytes)) differing.push(`${file}: encode`);
      try {
        expect(codec.decode(bytes)).to.deep.equal(object);
      } catch (error) {
        differing.push(`${file}: ${error instanceof Error ? error.message : ''}`);
      }
    }
    expect(differing).to.deep.equal([]);
  });
});
