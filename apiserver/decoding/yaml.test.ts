import { expect } from 'chai';
import { parseYaml, YamlError } from './yaml.ts';

describe('parseYaml()', function () {
  this.timeout(10_000);
  const read = (text: string) => parseYaml(Buffer.from(text));
  const refusal = (text: string): Promise<string> => read(text).then(() => 'was read', (error: unknown) => (error instanceof YamlError ? error.message : Promise.reject(error as Error)));

  it('reads YAML 1.1 with times as text, and the first document only', async () => {
    expect((await read('a: yes\nb: 0644\nc: 2026-01-02\nd: "yes"\n---\ne: 1\n')).value).to.deep.equal({ a: true, b: 0o644, c: '2026-01-02', d: 'yes' });
  });
  it('tells members that are there twice, nested ones too, and keeps the last', async () => {
    expect(await read('a: 1\nb:\n  c: 1\n  c: 2\na: 3\n')).to.deep.equal({ value: { a: 3, b: { c: 2 } }, duplicates: [{ line: 4, key: 'c' }, { line: 5, key: 'a' }] });
    expect((await read('{"a":1,"a":2}')).duplicates).to.deep.equal([{ line: 1, key: 'a' }]);
  });
  it('reads JSON as what it is', async () => {
    expect(await read('{"a":[1,"yes"]}')).to.deep.equal({ value: { a: [1, 'yes'] }, duplicates: [] });
  });
  it('answers in the order of the questions', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => read(`a: ${i}`)));
    expect(answers.map(({ value }) => value)).to.deep.equal(Array.from({ length: 20 }, (_, i) => ({ a: i })));
  });
  it('says what is wrong with a document', async () => {
    expect(await refusal('a: [')).to.match(/^yaml: line 1: /);
    expect(await refusal('a: b: c')).to.equal('yaml: mapping values are not allowed in this context');
    expect(await refusal('a: 1\nb: c: d')).to.equal('yaml: line 2: mapping values are not allowed in this context');
    expect(await refusal('a:\n\tb: c')).to.equal('yaml: line 2: found character that cannot start any token');
    expect(await refusal(`a: &a [x,x,x,x]\n${'bcdefghij'.split('').map((name, i) => `${name}: &${name} [${`*${'abcdefghij'.charAt(i)},`.repeat(9)}]\n`).join('')}`)).to.equal('yaml: document contains excessive aliasing');
  });
  it('ends with a document that takes too long, and reads the next one', async () => {
    const [long, next] = await Promise.all([refusal('? '.repeat(500)), read('a: b')]);
    expect(long).to.equal('yaml: the document takes too long to read');
    expect(next.value).to.deep.equal({ a: 'b' });
  });
  it('refuses nesting that no stack can hold', async () => {
    for (const text of ['[', '- ', '{a: ']) expect(await refusal(text.repeat(20_000)), text).to.match(/^yaml: .*(?:depth|stack size)/);
  });
});
