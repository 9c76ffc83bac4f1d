// What upstream says of each thing that can be wrong with a field of coordination.k8s.io: one field of an object that holds them
// all (testdata/objects.ts) is changed or taken out. Texts in testdata/rules.json are cut at 150 characters.
import { readFileSync } from 'node:fs';
import { rulesHold } from '../rules-hold.ts';
import type { RuleCase } from '../rules-hold.ts';
import { objects } from './testdata/objects.ts';

const cases = JSON.parse(readFileSync(new URL('testdata/rules.json', import.meta.url), 'utf8')) as Record<string, RuleCase[]>; // our own file
describe('the rules of coordination.k8s.io', () => rulesHold(objects, cases));
