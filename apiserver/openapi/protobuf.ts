// OpenAPI documents in their protobuf form (gnostic's Document messages), which client-go asks for. Field numbers are data; this
// file knows how JSON maps to the messages: maps become lists of named entries, unions a message with one member set.
import type { OpenAPIV2, OpenAPIV3 } from 'openapi-types';
import protobuf from 'protobufjs/minimal.js';
import numbers2 from './data/openapi-v2-proto-fields.json' with { type: 'json' };
import numbers3 from './data/openapi-v3-proto-fields.json' with { type: 'json' };

type Writer = protobuf.Writer;
interface FieldNumber { n: number; type: string; label?: string; oneof?: string }
type Messages = Record<string, Record<string, FieldNumber>>;
type Json = { [key: string]: unknown };
/** Messages whose JSON is not an object with the message's own fields: the field that the whole value goes to. */
type Shapes = Readonly<Record<string, (value: unknown) => { field: string; value: unknown }>>;

export function encodeDocument(version: 2, document: OpenAPIV2.Document): Buffer;
export function encodeDocument(version: 3, document: OpenAPIV3.Document): Buffer;
export function encodeDocument(version: 2 | 3, document: object): Buffer {
  // The JSON modules' inferred types name every message; Messages is the common form.
  const messages = (version === 2 ? numbers2.messages : numbers3.messages) as unknown as Messages;
  const writer = protobuf.Writer.create();
  writeMessage(writer, messages, version === 2 ? shapes2 : shapes3, 'Document', document);
  return Buffer.from(writer.finish());
}

const all = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);
/** JSON is YAML. */
const any = (value: unknown) => ({ field: 'yaml', value: `${JSON.stringify(value)}\n` });
const stringArray = (value: unknown) => ({ field: 'value', value });

const shapes2: Shapes = {
  StringArray: stringArray,
  TypeItem: (value) => ({ field: 'value', value: all(value) }),
  ItemsItem: (value) => ({ field: 'schema', value: all(value) }),
  AdditionalPropertiesItem: (value) => ({ field: typeof value === 'boolean' ? 'boolean' : 'schema', value }),
  ResponseValue: (value) => ({ field: '$ref' in (value as Json) ? 'json_reference' : 'response', value }),
  SchemaItem: (value) => ({ field: 'schema', value }),
  ParametersItem: (value) => ({ field: '$ref' in (value as Json) ? 'json_reference' : 'parameter', value }),
  Parameter: (value) => ({ field: (value as Json)['in'] === 'body' ? 'body_parameter' : 'non_body_parameter', value }),
  NonBodyParameter: (value) => ({ field: `${String((value as Json)['in']).replace('formData', 'form_data')}_parameter_sub_schema`, value }),
  SecurityDefinitionsItem: (value) => ({ field: 'api_key_security', value }),
  Any: any,
};
const orReference = (field: string) => (value: unknown) => ({ field: '$ref' in (value as Json) ? 'reference' : field, value });
const shapes3: Shapes = {
  StringArray: stringArray,
  ItemsItem: (value) => ({ field: 'schema_or_reference', value: all(value) }),
  AdditionalPropertiesItem: (value) => ({ field: typeof value === 'boolean' ? 'boolean' : 'schema_or_reference', value }),
  DefaultType: (value) => ({ field: typeof value, value: typeof value === 'object' ? undefined : value }),
  ParameterOrReference: orReference('parameter'),
  RequestBodyOrReference: orReference('request_body'),
  ResponseOrReference: orReference('response'),
  SchemaOrReference: orReference('schema'),
  SecuritySchemeOrReference: orReference('security_scheme'),
  Any: any,
};
/** Where a message that stands for a map has its entries. */
const entryFields = ['path', 'response_code', 'response_or_reference', 'additional_properties'];
const extensionFields: ReadonlySet<string> = new Set(['vendor_extension', 'specification_extension']);
const jsonNames: Readonly<Record<string, string>> = { _ref: '$ref' };

function writeMessage(writer: Writer, messages: Messages, shapes: Shapes, message: string, value: unknown): void {
  const fields = messages[message];
  if (!fields) throw new Error(`no message ${message}`);
  const write = (name: string, content: unknown): void => {
    const field = fields[name];
    if (!field) throw new Error(`${message} has no field ${name}`);
    for (const one of field.label === 'repeated' ? content as unknown[] : [content]) writeValue(writer, field, one);
  };
  const writeValue = (into: Writer, { n, type, label, oneof }: FieldNumber, one: unknown): void => {
    // What is zero is left out, except in lists and unions.
    const always = label !== undefined || oneof !== undefined;
    switch (type) {
      case 'string': if (always || one !== '') into.uint32(n << 3 | 2).string(String(one)); return;
      case 'bool': if (always || one === true) into.uint32(n << 3).bool(one === true); return;
      case 'int64': case 'int32': if (always || one !== 0) into.uint32(n << 3).int64(Number(one)); return;
      case 'double': if (always || one !== 0) into.uint32(n << 3 | 1).double(Number(one)); return;
      default:
        into.uint32(n << 3 | 2).fork();
        writeMessage(into, messages, shapes, type, one);
        into.ldelim();
    }
  };
  const shape = shapes[message]?.(value);
  if (shape) {
    if (shape.value !== undefined) write(shape.field, shape.value);
    return;
  }
  const json = value as Json; // messages without a shape of their own stand for JSON objects
  const named = (test: (key: string) => boolean): unknown[] => Object.entries(json).filter(([key]) => test(key)).map(([name, one]) => ({ name, value: one }));
  const entries = entryFields.find((name) => fields[name]?.label === 'repeated' && fields[name].type.startsWith('Named'));
  const extensible = Object.keys(fields).some((name) => extensionFields.has(name));
  for (const name of Object.keys(fields)) {
    if (extensionFields.has(name)) write(name, named((key) => key.startsWith('x-')));
    else if (name === entries) write(name, named((key) => !(extensible && key.startsWith('x-'))));
    else {
      const member = json[jsonNames[name] ?? name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
      if (member !== undefined) write(name, member);
    }
  }
}
