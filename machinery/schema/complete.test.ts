import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseApiVersion } from '#machinery/api/object.ts';
import { loadSchema } from './schema.ts';
import type { Schema } from './schema.ts';

type Messages = Record<string, Record<string, { type: string; inline?: boolean; json?: string }>>;
interface Resources { resources: { group: string; version: string; kind: string; subresources?: Record<string, { kind?: string; groupVersion?: string }> }[] }

const facts = join(import.meta.dirname, '../../../shared/facts');
const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));

/** Scalars and free JSON have messages, but no fields that a client sees. */
const opaque = /\.(Time|MicroTime|Timestamp|Duration|Quantity|QuantityValue|IntOrString|FieldsV1|RawExtension|Unknown|TypeMeta|JSON|JSONSchemaPropsOr\w+|ExtraValue|Verbs)$/;

const inGroup = (group: string, version: string): { group: string; version: string } => ({ group, version });

/** `k8s.io.api.core.v1.PodSpec` as the schema names it, and what is missing of it. */
function missingFields(schema: Schema, messages: Messages): string[] {
  const byFolder = new Map<string, string>();
  for (const name of schema.names()) {
    const [group = ''] = name.split('/');
    byFolder.set(group === 'internal.apiserver.k8s.io' ? 'apiserverinternal' : group.split('.')[0] ?? '', group);
  }
  const missing: string[] = [];
  const look = (typeName: string, message: string): void => {
    const type = schema.type(typeName);
    for (const [name, field] of Object.entries(messages[message] ?? {})) {
      if (field.inline) look(typeName, field.type.includes('.') ? field.type : message.replace(/[^.]+$/, field.type));
      else if (!type?.fields.has(field.json ?? name)) missing.push(`${typeName}.${field.json ?? name}`);
    }
  };
  const inlined = new Set(Object.entries(messages).flatMap(([message, fields]) => Object.values(fields).filter(({ inline }) => inline)
    .map(({ type }) => (type.includes('.') ? type : message.replace(/[^.]+$/, type)))));
  for (const message of Object.keys(messages)) {
    if (opaque.test(message)) continue;
    const [folder = '', version = '', name = ''] = message.split('.').slice(-3);
    const typeName = `${byFolder.get(folder) ?? folder}/${version}/${name}`;
    if (schema.type(typeName)) look(typeName, message);
    else if (!inlined.has(message)) missing.push(typeName);
  }
  return missing;
}

describe('schema: complete', () => {
  let schema: Schema;
  before(async () => {
    schema = await loadSchema();
  });

  it('has every field that has a protobuf number', () => {
    const messages = read(join(import.meta.dirname, 'data/proto-fields.json')) as Messages;
    expect(Object.keys(messages).length).to.be.greaterThan(1200);
    expect(missingFields(schema, messages)).to.deep.equal([]);
  });
  it('tells a missing field from one that is there', () => {
    expect(missingFields(schema, { 'k8s.io.api.core.v1.Binding': { metadata: { type: 'x' }, target: { type: 'x' }, extra: { type: 'x' } } })).to.deep.equal(['core/v1/Binding.extra']);
  });
  for (const [title, check] of [
    ['has every field of the facts outside of the project', () => missingFields(schema, read(join(facts, 'proto-fields.json')) as Messages)],
    ['has every kind of the facts outside of the project', () => (read(join(facts, 'api-resources.json')) as Resources).resources
      .flatMap(({ group, version, kind, subresources = {} }) => [{ ...inGroup(group, version), kind }, ...Object.values(subresources).map((sub) => ({ ...(sub.groupVersion === undefined ? inGroup(group, version) : parseApiVersion(sub.groupVersion)), kind: sub.kind ?? kind }))])
      .filter((one) => !schema.typeFor(one.group, one.version, one.kind)).map((one) => `${one.group}/${one.version}/${one.kind}`)],
  ] as const) {
    it(title, function () {
      if (!existsSync(facts)) {
        if (this.test) this.test.title += ' (skipped: the facts are not part of the project)';
        this.skip();
      }
      expect(check()).to.deep.equal([]);
    });
  }
});
