// Sets of field paths, held as what FieldsV1 is on the wire: a tree of path elements where `{}` is a member without children and
// `.` says that a node with children is a member too. Trees are never changed once made, so they may share branches (also with
// objects of the cache), and their members are in upstream's order. Upstream: structured-merge-diff's fieldpath/set.go.
import { canonicalElement, compareElements, printElement } from './path-element.ts';

export type Fields = { readonly [element: string]: Fields };
/** While it is made. */
export type Growing = { [element: string]: Fields };

export const noFields: Fields = Object.freeze({});
const self = '.';

export function isEmpty(fields: Fields): boolean {
  for (const _element in fields) return false;
  return true;
}

/** Whether the node itself belongs to the set. */
export function isMember(node: Fields): boolean {
  return node[self] !== undefined || isEmpty(node);
}

/** A node with these children that is a member, too. */
export function asMember(children: Fields): Fields {
  return isEmpty(children) ? noFields : children[self] ? children : { [self]: noFields, ...children };
}

/** Puts members that were found in any order into upstream's. */
export function ordered(fields: Growing): Fields {
  let last: string | undefined;
  for (const element in fields) {
    if (last !== undefined && compareElements(last, element) > 0) {
      const sorted: Growing = {};
      for (const one of Object.keys(fields).sort(compareElements)) sorted[one] = fields[one] ?? noFields;
      return sorted;
    }
    last = element;
  }
  return fields;
}

/** A set that a client wrote, in the one form that is stored; the very same when it has it already. Throws SyntaxError. */
export function canonicalFields(value: unknown): Fields {
  return withoutSelf(canonicalNode(value));
}

function canonicalNode(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new SyntaxError('a set of fields must be an object');
  const given = value as { [element: string]: unknown };
  let changed = false;
  const made: Growing = {};
  for (const element in given) {
    if (element === self) {
      if (!isObject(given[self]) || !isEmpty(given[self] as Fields)) changed = true; // checked just now
      made[self] = noFields;
      continue;
    }
    const canonical = canonicalElement(element);
    if (canonical === undefined) {
      changed = true;
      continue;
    }
    const child = canonicalNode(given[element]);
    if (canonical !== element || child !== given[element]) changed = true;
    const before = made[canonical];
    made[canonical] = before ? unionNode(before, child) : child;
  }
  const sorted = ordered(made);
  if (sorted !== made) changed = true;
  if (made[self] && Object.keys(made).length === 1) return noFields;
  return changed ? sorted : given as Fields; // every element was looked at
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

function withoutSelf(fields: Fields): Fields {
  if (!fields[self]) return fields;
  const { [self]: _self, ...rest } = fields;
  return rest;
}

export function union(a: Fields, b: Fields): Fields {
  return isEmpty(a) ? b : isEmpty(b) ? a : mergeTrees(a, b);
}

/** Of two nodes that are both in their sets. */
function unionNode(a: Fields, b: Fields): Fields {
  if (a === b) return a;
  if (isEmpty(a)) return asMember(b);
  if (isEmpty(b)) return asMember(a);
  return mergeTrees(a, b);
}

function mergeTrees(a: Fields, b: Fields): Fields {
  const made: Growing = { ...a };
  let added = false;
  for (const element in b) {
    const [left, right] = [a[element], b[element] ?? noFields];
    if (left === undefined) added = true;
    made[element] = left === undefined ? right : element === self ? noFields : unionNode(left, right);
  }
  return added ? ordered(made) : made;
}

/** What is in both. */
export function intersection(a: Fields, b: Fields): Fields {
  const made: Growing = {};
  for (const element in a) {
    const [left, right] = [a[element] ?? noFields, b[element]];
    if (right === undefined || element === self) continue;
    const children = isEmpty(left) || isEmpty(right) ? noFields : intersection(left, right);
    if (isMember(left) && isMember(right)) made[element] = asMember(children);
    else if (!isEmpty(children)) made[element] = children;
  }
  return made;
}

/** What is in `a` and not in `b`; the children of what `b` takes away stay unless it names them. The very same when nothing goes. */
export function difference(a: Fields, b: Fields): Fields {
  return subtract(a, b, false);
}

/** As `difference`, with everything below what `b` takes away. */
export function recursiveDifference(a: Fields, b: Fields): Fields {
  return subtract(a, b, true);
}

function subtract(a: Fields, b: Fields, recursive: boolean): Fields {
  let changed = false;
  const made: Growing = {};
  for (const element in a) {
    const [left, right] = [a[element] ?? noFields, b[element]];
    if (right === undefined || element === self) {
      made[element] = left;
      continue;
    }
    const taken = isMember(right);
    const member = isMember(left) && !taken;
    const children = isEmpty(left) || (taken && recursive) ? noFields : subtract(childrenOf(left), right, recursive);
    if (!member && isEmpty(children)) {
      changed = true;
      continue;
    }
    const node = member ? asMember(children) : children;
    if (sameNode(node, left)) made[element] = left;
    else {
      made[element] = node;
      changed = true;
    }
  }
  return changed ? made : a;
}

const childrenOf = (node: Fields): Fields => withoutSelf(node);

/** Subtraction gives back the same branches where nothing went, so looking at one level is enough. */
function sameNode(a: Fields, b: Fields): boolean {
  if (a === b) return true;
  let count = 0;
  for (const element in a) {
    if (a[element] !== b[element] && !(element === self && b[self])) return false;
    count += 1;
  }
  for (const _element in b) count -= 1;
  return count === 0;
}

export function sameFields(a: Fields, b: Fields): boolean {
  if (a === b) return true;
  let count = 0;
  for (const element in a) {
    const [left, right] = [a[element], b[element]];
    if (left === undefined || right === undefined || !sameFields(left, right)) return false;
    count += 1;
  }
  for (const _element in b) count -= 1;
  return count === 0;
}

/** A set of the given paths. */
export function fieldsOf(...paths: readonly (readonly string[])[]): Fields {
  let made: Fields = noFields;
  for (const path of paths) {
    let one: Fields = noFields;
    for (const element of path.toReversed()) one = { [element]: one };
    made = union(made, one);
  }
  return made;
}

export function has(fields: Fields, path: readonly string[]): boolean {
  let node: Fields | undefined = fields;
  for (const element of path) node = node?.[element];
  return node !== undefined && isMember(node);
}

/** What matches one of the patterns, where `*` stands for any element, and everything below. */
export function matching(fields: Fields, patterns: readonly (readonly string[])[]): Fields {
  const made: Growing = {};
  for (const element in fields) {
    const node = fields[element] ?? noFields;
    const rest = patterns.filter(([first]) => element !== self && (first === '*' || first === element)).map(([, ...more]) => more);
    if (rest.length === 0) continue;
    if (rest.some((more) => more.length === 0)) {
      made[element] = node;
      continue;
    }
    const children = matching(node, rest);
    if (isMember(node)) made[element] = asMember(children);
    else if (!isEmpty(children)) made[element] = children;
  }
  return made;
}

/** The paths of a set as messages show them, in upstream's order: the members of a level before what is below them. */
export function printPaths(fields: Fields): string[] {
  const paths: string[] = [];
  const walk = (node: Fields, prefix: string): void => {
    for (const element in node) if (element !== self && isMember(node[element] ?? noFields)) paths.push(prefix + printElement(element));
    for (const element in node) if (element !== self) walk(node[element] ?? noFields, prefix + printElement(element));
  };
  walk(fields, '');
  return paths;
}
