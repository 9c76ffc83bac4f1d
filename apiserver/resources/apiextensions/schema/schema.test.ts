// What upstream makes of values under a schema, and says of them: testdata/schema-values.json; which strings have a format or match a
// pattern: testdata/schema-strings.json. Errors are sorted, since upstream walks maps in any order.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { fieldErrorBody } from '#machinery/api/status.ts';
import type { FieldError } from '#machinery/api/status.ts';
import { applyDefaults, dropForbiddenNulls } from './defaults.ts';
import { coerceMetadata, validateEmbeddedMetadata } from './embedded-metadata.ts';
import { parseFieldPath } from './field-path.ts';
import { isOfFormat } from './formats.ts';
import { goRegexp } from './go-regexp.ts';
import { readSchema, someSchema } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';
import { validateListTypes } from './list-types.ts';
import { prune, resourceSchema } from './prune.ts';
import { ruleBudget, RuleValidator } from './rules.ts';
import { validateValue } from './value-validation.ts';

interface Case { do: string; schema: object; value: unknown; old?: unknown; root?: true; drop?: true; result?: unknown; errors?: string[] }

// Read as text: the compiler would look for one type of hundreds of schemas, for minutes.
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../testdata/${name}.json`, import.meta.url), 'utf8'));
const strings = read('schema-strings') as { strings: string[]; formats: Record<string, string[]>; texts: string[]; patterns: Record<string, string[]> };

const schemaOf = (value: unknown): JsonSchema => readSchema(value) ?? {};
const show = (errors: readonly FieldError[]): string[] => errors.map((error) => `${error.field === '' ? '<nil>' : error.field}: ${fieldErrorBody(error)}`).toSorted();

/** Changes the value, or says what is wrong. */
const steps: Record<string, (value: unknown, schema: JsonSchema, one: Case) => FieldError[]> = {
  'prune': (value, schema, { root }) => {
    prune(value, root ? resourceSchema(schema) : schema);
    return [];
  },
  'default': (value, schema) => {
    dropForbiddenNulls(value, schema);
    applyDefaults(value, schema);
    return [];
  },
  'validate': (value, schema) => validateValue(value, schema),
  'list types': (value, schema) => validateListTypes(value, schema),
  'metadata': (value, schema) => validateEmbeddedMetadata(value, schema, ''),
  // With what was there before, as updates spare what did not change.
  'rules': (value, schema, { old }) => RuleValidator.of(schema, true)?.validate(value, old, '', { remaining: ruleBudget }, old !== undefined) ?? [],
  'coerce': (value, schema, { drop = false }) => [coerceMetadata(value, schema, '', drop)].flatMap((error) => error ?? []),
};

describe('under a schema, as upstream has it', () => {
  const cases = read('schema-values') as Case[];
  for (const [name, step] of Object.entries(steps)) {
    const rows = cases.filter((one) => one.do === name);
    it(`${name}: ${rows.length} cases`, () => {
      for (const one of rows) {
        const value = structuredClone(one.value);
        expect(show(step(value, schemaOf(one.schema), one)), JSON.stringify(one)).to.deep.equal(one.errors ?? []);
        if ('result' in one) expect(value, JSON.stringify(one)).to.deep.equal(one.result);
      }
    });
  }

  it('prune() tells what went, but for kind and metadata at the root', () => {
    const value = { kind: 'Foo', metadata: { x: 1 }, spec: { a: 1, b: [{ c: 1 }], kind: 'x' } };
    const schema = schemaOf({ properties: { spec: { properties: { b: { items: { properties: {} } } } } } });
    expect(prune(value, schema)).to.deep.equal(['spec.a', 'spec.b[0].c', 'spec.kind']);
    expect(value).to.deep.equal({ spec: { b: [{}] } });
  });
  it('members may be called __proto__', () => {
    const schema = schemaOf(JSON.parse('{"properties":{"__proto__":{"type":"string","default":"x"}}}'));
    const value = {};
    applyDefaults(value, schema);
    expect(JSON.stringify(value)).to.equal('{"__proto__":"x"}');
    expect(prune(value, schema)).to.deep.equal([]);
  });
});

describe('validateValue() of much that is wrong', () => {
  it('tells a thousand things of a hundred thousand, soon', () => {
    const begun = performance.now();
    expect(validateValue(Array.from({ length: 100_000 }, (_, index) => index), schemaOf({ type: 'array', items: { type: 'string' } }))).to.have.length(1000);
    expect(performance.now() - begun).to.be.below(3000);
  });
  it('finds ten thousand items of before by their keys, soon', () => {
    const schema = schemaOf({ 'type': 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'], 'items': { properties: { k: { type: 'integer' }, v: { type: 'string' } } } });
    const list = Array.from({ length: 10_000 }, (_, k) => ({ k, v: 1 }));
    const begun = performance.now();
    expect(validateValue([...list, { k: -1, v: 1 }].toReversed(), schema, { old: list }).map(({ field }) => field)).to.deep.equal(['[0].v']);
    expect(performance.now() - begun).to.be.below(3000);
  });
});

describe('validateValue() with what was there before', () => {
  const schema = schemaOf({
    properties: {
      a: { type: 'string', maxLength: 1 }, o: { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'integer' } }, required: ['c'] },
      map: { 'type': 'array', 'items': { properties: { k: { type: 'string' }, v: { type: 'integer' } } }, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
      list: { type: 'array', items: { type: 'integer' } }, kind: { type: 'integer' },
    },
  });
  const rows: [about: string, old: unknown, value: unknown, wrong: string[]][] = [
    ['spares what did not change', { a: 'xx' }, { a: 'xx' }, []],
    ['tells what changed', { a: 'xx' }, { a: 'yy' }, ['a']],
    ['spares members of what changed', { o: { a: 'x', c: 1 } }, { o: { a: 'x', b: 1, c: 1 } }, []],
    ['tells what an object lacks once it changed', { o: { a: 1 } }, { o: { a: 2 } }, ['o.c']],
    ['follows items by their keys', { map: [{ k: 'a', v: 'x' }] }, { map: [{ k: 'b', v: 1 }, { k: 'a', v: 'x' }] }, []],
    ['tells of new items', { map: [{ k: 'a', v: 'x' }] }, { map: [{ k: 'a', v: 'x' }, { k: 'b', v: 'x' }] }, ['map[1].v']],
    ['follows no items that lack a key', { map: [{ v: 'x' }] }, { map: [{ v: 'x' }] }, ['map[0].v']],
    ['follows no items of plain lists', { list: ['x'] }, { list: ['x', 1] }, ['list[0]']],
    ['spares plain lists as a whole', { list: ['x'] }, { list: ['x'] }, []],
    ['never spares the kind of a resource', { kind: 'x', a: 'x' }, { kind: 'x', a: 'y' }, ['kind']],
  ];
  for (const [about, old, value, wrong] of rows) it(about, () => expect(validateValue(value, schema, { old }).map(({ field }) => field)).to.deep.equal(wrong));
});

describe('formats and patterns, as Go has them', () => {
  for (const [format, good] of Object.entries(strings.formats)) {
    it(format, () => expect(strings.strings.filter((text) => isOfFormat(format, text))).to.deep.equal(good));
  }
  for (const [pattern, good] of Object.entries(strings.patterns)) {
    it(JSON.stringify(pattern), () => {
      const compiled = goRegexp(pattern);
      expect(strings.texts.filter((text) => 'matches' in compiled && compiled.matches(text))).to.deep.equal(good);
    });
  }
  it('others are not known', () => expect(isOfFormat('constructor', 'x')).to.equal(undefined));
});

describe('readSchema()', () => {
  it('leaves out what is empty and what has a wrong type', () => {
    expect(readSchema({ type: '', nullable: false, required: [], maxLength: 0, default: null, enum: [null], pattern: 1, foo: 1, properties: {} })).to.deep.equal({ maxLength: 0, enum: [null] });
    expect(readSchema([])).to.equal(undefined);
    expect(readSchema({ 'x-kubernetes-validations': [{}, 'x'] })).to.deep.equal({ 'x-kubernetes-validations': [{ rule: '' }, { rule: '' }] });
  });
  it('reads schemas wherever they stand', () => {
    const odd = { type: 'odd' };
    const places = [{ items: odd }, { items: [odd] }, { additionalProperties: odd }, { additionalItems: odd }, { not: odd }, { allOf: [odd] }, { anyOf: [odd] }, { oneOf: [odd] },
      { properties: { a: odd } }, { patternProperties: { a: odd } }, { definitions: { a: odd } }, { dependencies: { a: odd } }];
    for (const place of places) expect(someSchema(readSchema(place), ({ type }) => type === 'odd'), JSON.stringify(place)).to.equal(true);
    expect(someSchema(readSchema({ default: odd, dependencies: { a: ['odd'] } }), ({ type }) => type === 'odd')).to.equal(false);
  });
});

describe('parseFieldPath()', () => {
  const schema = schemaOf({ properties: { 'a': { properties: { b: { type: 'string' } } }, 'm': { additionalProperties: { type: 'integer' } }, "it's": { type: 'boolean' } } });
  const rows: [path: string, text: string, type: string][] = [['.a.b', 'a.b', 'string'], [".m['x.y']", 'm[x.y]', 'integer'], ["['a'].b", 'a.b', 'string'], ["['it\\'s']", "it's", 'boolean'], ['.m.x', 'm[x]', 'integer']];
  for (const [path, text, type] of rows) {
    it(path, () => {
      const parsed = parseFieldPath(path, schema);
      expect('text' in parsed && [parsed.text, parsed.schema?.type]).to.deep.equal([text, type]);
    });
  }
  for (const path of ['a', '.', '.a.c', '.a.b.c', '.a[b]', ".a['b'", ".a['b", ".a['\\q']", '.a]']) {
    it(`${path} is none`, () => expect(parseFieldPath(path, schema)).to.have.property('error'));
  }
  it('may be told not to know brackets', () => expect(parseFieldPath("['a']", schema, false)).to.deep.equal({ error: 'array notation is not allowed' }));
});
