import { expect } from 'chai';
import fc from 'fast-check';
import { StatusError } from '#machinery/api/status.ts';
import { loadSchema } from '#machinery/schema/schema.ts';
import type { Schema, Type } from '#machinery/schema/schema.ts';
import { equalJson } from './json-value.ts';
import { applyStrategicPatch } from './strategic.ts';

describe('applyStrategicPatch()', () => {
  let schema: Schema;
  before(async () => {
    schema = await loadSchema();
  });
  const typeOf = (name: string): Type => {
    const type = schema.type(name);
    if (!type) throw new Error(`no type ${name}`);
    return type;
  };
  const names = (value: unknown): string[] => (value as { name: string }[]).map((item) => item.name);
  function refusal(original: object, patch: unknown, type = 'core/v1/Pod'): StatusError {
    try {
      applyStrategicPatch(original, patch, typeOf(type));
    } catch (error) {
      if (error instanceof StatusError) return error;
      throw error;
    }
    throw new Error('the patch was accepted');
  }

  const cases: [title: string, type: string, original: object, patch: object, expected: object][] = [
    ['merges maps and removes what is null', 'meta/v1/ObjectMeta',
      { labels: { a: '1', b: '2' } }, { labels: { b: null, c: '3' } }, { labels: { a: '1', c: '3' } }],
    ['merges containers by name and adds new ones behind', 'core/v1/PodSpec',
      { containers: [{ name: 'a', image: 'x' }, { name: 'b', image: 'y' }] },
      { containers: [{ name: 'b', image: 'z' }, { name: 'c', image: 'w' }] },
      { containers: [{ name: 'a', image: 'x' }, { name: 'b', image: 'z' }, { name: 'c', image: 'w' }] }],
    // New items stand before those of the server that the patch does not name, as upstream.
    ['merges nested lists by their own keys', 'core/v1/PodSpec',
      { containers: [{ name: 'a', ports: [{ containerPort: 80 }], env: [{ name: 'X', value: '1' }] }] },
      { containers: [{ name: 'a', ports: [{ containerPort: 80, name: 'web' }], env: [{ name: 'Y', value: '2' }] }] },
      { containers: [{ name: 'a', ports: [{ containerPort: 80, name: 'web' }], env: [{ name: 'Y', value: '2' }, { name: 'X', value: '1' }] }] }],
    ['replaces lists without a merge strategy', 'core/v1/PodSpec',
      { tolerations: [{ key: 'a' }] }, { tolerations: [{ key: 'b' }] }, { tolerations: [{ key: 'b' }] }],
    ['removes an item by $patch: delete', 'core/v1/PodSpec',
      { containers: [{ name: 'a' }, { name: 'b' }] }, { containers: [{ name: 'a', $patch: 'delete' }] }, { containers: [{ name: 'b' }] }],
    ['ignores the removal of an item that is not there', 'core/v1/PodSpec',
      { containers: [{ name: 'a' }] }, { containers: [{ name: 'x', $patch: 'delete' }] }, { containers: [{ name: 'a' }] }],
    ['replaces a list by $patch: replace in it', 'core/v1/PodSpec',
      { containers: [{ name: 'a' }, { name: 'b' }] }, { containers: [{ $patch: 'replace' }, { name: 'c' }] }, { containers: [{ name: 'c' }] }],
    ['replaces an object by $patch: replace', 'core/v1/PodSpec',
      { securityContext: { runAsUser: 1, fsGroup: 2 } }, { securityContext: { $patch: 'replace', runAsUser: 3 } }, { securityContext: { runAsUser: 3 } }],
    ['empties an object by $patch: delete', 'core/v1/PodSpec',
      { securityContext: { runAsUser: 1 } }, { securityContext: { $patch: 'delete' } }, { securityContext: {} }],
    ['keeps only what $retainKeys names', 'apps/v1/DeploymentSpec',
      { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
      { strategy: { $retainKeys: ['type'], type: 'Recreate' } }, { strategy: { type: 'Recreate' } }],
    ['keeps only the source of a volume that $retainKeys names', 'core/v1/PodSpec',
      { volumes: [{ name: 'v', emptyDir: {} }] },
      { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] },
      { volumes: [{ name: 'v', hostPath: { path: '/x' } }] }],
    ['merges lists of scalars without doubling', 'meta/v1/ObjectMeta',
      { finalizers: ['a/b', 'c/d'] }, { finalizers: ['c/d', 'e/f'] }, { finalizers: ['a/b', 'c/d', 'e/f'] }],
    ['takes scalars out by $deleteFromPrimitiveList', 'meta/v1/ObjectMeta',
      { finalizers: ['a/b', 'c/d'] }, { '$deleteFromPrimitiveList/finalizers': ['a/b', 'x/y'] }, { finalizers: ['c/d'] }],
    ['orders by $setElementOrder, items of the server kept in between', 'core/v1/PodSpec',
      { containers: [{ name: 'a' }, { name: 'server' }, { name: 'b' }] },
      { '$setElementOrder/containers': [{ name: 'c' }, { name: 'b' }, { name: 'a' }], 'containers': [{ name: 'c' }] },
      { containers: [{ name: 'c' }, { name: 'server' }, { name: 'b' }, { name: 'a' }] }],
    ['orders scalars by $setElementOrder', 'meta/v1/ObjectMeta',
      { finalizers: ['a', 'b'] }, { '$setElementOrder/finalizers': ['b', 'a'] }, { finalizers: ['b', 'a'] }],
    ['merges ports of services by port alone', 'core/v1/ServiceSpec',
      { ports: [{ port: 53, protocol: 'UDP', targetPort: 5353 }] }, { ports: [{ port: 53, targetPort: 'dns' }] },
      { ports: [{ port: 53, protocol: 'UDP', targetPort: 'dns' }] }],
    ['drops nulls and directives of what is new', 'core/v1/PodSpec',
      {}, { securityContext: { runAsUser: null, fsGroup: 1 }, affinity: { $patch: 'delete' }, volumes: [{ name: 'v' }, { name: 'w', $patch: 'delete' }] },
      { securityContext: { fsGroup: 1 }, volumes: [{ name: 'v' }] }],
    ['replaces a value by one of another type', 'core/v1/PodSpec', { securityContext: { runAsUser: 1 } }, { securityContext: 'x' }, { securityContext: 'x' }],
    ['keeps members that the type does not know', 'core/v1/PodSpec', {}, { foo: { bar: 1 } }, { foo: { bar: 1 } }],
  ];
  for (const [title, type, original, patch, expected] of cases) {
    it(title, () => {
      const before = JSON.stringify([original, patch]);
      expect(applyStrategicPatch(original, patch, typeOf(type))).to.deep.equal(expected);
      expect(JSON.stringify([original, patch])).to.equal(before);
    });
  }

  it('answers 400 to malformed directives', () => {
    for (const patch of [
      { spec: { '$deleteFromPrimitiveList': ['x'] } },
      { spec: { '$setElementOrder.containers': [] } },
      { spec: { $retainKeys: 'containers' } },
      { spec: { $retainKeys: ['containers'], nodeName: 'x' } },
      [],
      'x',
    ]) expect(refusal({ spec: { containers: [] } }, patch).status.code, JSON.stringify(patch)).to.equal(400);
  });
  it('answers 422 to lists of lists', () => {
    expect(refusal({ spec: { containers: [{ name: 'a' }] } }, { spec: { containers: [[]] } }).status.code).to.equal(422);
  });
  it('names the item without its merge key', () => {
    expect(refusal({ spec: { containers: [{ name: 'a' }] } }, { spec: { containers: [{ image: 'x', tty: true }] } }).status)
      .to.include({ code: 500, message: 'map: map[image:x tty:true] does not contain declared merge key: name' });
  });
  it('refuses an unknown $patch, a mixed list and an order that does not fit', () => {
    const original = { spec: { containers: [{ name: 'a' }] } };
    expect(refusal(original, { spec: { containers: [{ name: 'a', $patch: 'drop' }] } }).status.message).to.match(/^unknown patch type: drop in map: map\[/);
    expect(refusal(original, { spec: { containers: ['a'] } }).status.message).to.match(/^list element types are not identical/);
    expect(refusal(original, { spec: { '$setElementOrder/containers': [{ name: 'a' }], 'containers': [{ name: 'b' }] } }).status.message)
      .to.match(/^The order in patch list:/);
    expect(refusal({ spec: { versions: [] } }, { spec: { '$setElementOrder/nothing': ['x'] } }, 'apiextensions.k8s.io/v1/CustomResourceDefinition').status.message)
      .to.equal('unable to find api field in struct CustomResourceDefinitionSpec for the json field "nothing"');
  });

  const containerNames = fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e'), { maxLength: 5 });
  it('keeps every container of the object, and adds those of the patch, in any order', () => {
    fc.assert(fc.property(containerNames, containerNames, (before, patched) => {
      const result = applyStrategicPatch<{ containers?: unknown }>(
        { containers: before.map((name) => ({ name, image: 'old' })) }, { containers: patched.map((name) => ({ name, image: 'new' })) }, typeOf('core/v1/PodSpec'));
      expect(new Set(names(result.containers))).to.deep.equal(new Set([...before, ...patched]));
      for (const { name, image } of result.containers as { name: string; image: string }[]) expect(image).to.equal(patched.includes(name) ? 'new' : 'old');
    }));
  });
  it('puts items into the order that $setElementOrder gives', () => {
    fc.assert(fc.property(containerNames, containerNames, (before, order) => {
      if (before.length === 0) return;
      const result = applyStrategicPatch<{ containers?: unknown }>(
        { containers: before.map((name) => ({ name })) }, { '$setElementOrder/containers': order.map((name) => ({ name })) }, typeOf('core/v1/PodSpec'));
      const after = names(result.containers);
      expect(after.filter((name) => order.includes(name))).to.deep.equal(order.filter((name) => before.includes(name)));
      expect(after.filter((name) => !order.includes(name))).to.deep.equal(before.filter((name) => !order.includes(name)));
    }));
  });
  it('without a schema of lists is a merge patch of maps', () => {
    const labels = fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.option(fc.string(), { nil: null }));
    fc.assert(fc.property(fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.string()), labels, (before, patch) => {
      const result = applyStrategicPatch<{ labels: object }>({ labels: before }, { labels: patch }, typeOf('meta/v1/ObjectMeta'));
      const merged = new Map<string, unknown>([...Object.entries(before), ...Object.entries(patch)].filter(([name]) => patch[name] !== null || !Object.hasOwn(patch, name)));
      return Object.keys(result.labels).length === merged.size && Object.entries(result.labels).every(([name, value]) => equalJson(merged.get(name), value));
    }));
  });
});
