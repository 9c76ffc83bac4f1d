// OpenAPI v2 in its protobuf form (gnostic's openapi.v2.Document), which client-go asks for. Field numbers are data; this file
// knows how the JSON form maps to the messages: maps become lists of named entries, unions a message with one member set.
import type { OpenAPIV2 } from 'openapi-types';
import protobuf from 'protobufjs/minimal.js';
import numbers from './data/openapi-v2-proto-fields.json' with { type: 'json' };

type Writer = protobuf.Writer;
interface FieldNumber { n: number; type: string; label?: string; oneof?: string }
type Json = { [key: string]: unknown };

// The JSON module's inferred type names every message; this is the common form.
const messages = numbers.messages as unknown as Record<string, Record<string, FieldNumber>>;

export function encodeDocument(document: OpenAPIV2.Document): Buffer {
  const writer = protobuf.Writer.create();
  writeMessage(writer, 'Document', document as unknown as Json);
  return Buffer.from(writer.finish());
}

/** Messages whose JSON is not an object with the message's own fields. */
const shapes: Readonly<Record<string, (writer: Writer, value: unknown) => void>> = {
  Paths: (writer, value) => named(writer, 'Paths', 'path', value),
  Definitions: (writer, value) => named(writer, 'Definitions', 'additional_properties', value),
  Properties: (writer, value) => named(writer, 'Properties', 'additional_properties', value),
  SecurityDefinitions: (writer, value) => named(writer, 'SecurityDefinitions', 'additional_properties', value),
  Responses: (writer, value) => named(writer, 'Responses', 'response_code', value),
  SecurityRequirement: (writer, value) => named(writer, 'SecurityRequirement', 'additional_properties', value),
  StringArray: (writer, value) => writeField(writer, 'StringArray', 'value', value),
  TypeItem: (writer, value) => writeField(writer, 'TypeItem', 'value', Array.isArray(value) ? value : [value]),
  ItemsItem: (writer, value) => writeField(writer, 'ItemsItem', 'schema', Array.isArray(value) ? value : [value]),
  AdditionalPropertiesItem: (writer, value) => writeField(writer, 'AdditionalPropertiesItem', typeof value === 'boolean' ? 'boolean' : 'schema', value),
  ResponseValue: (writer, value) => writeField(writer, 'ResponseValue', '$ref' in (value as Json) ? 'json_reference' : 'response', value),
  SchemaItem: (writer, value) => writeField(writer, 'SchemaItem', 'schema', value),
  ParametersItem: (writer, value) => writeField(writer, 'ParametersItem', '$ref' in (value as Json) ? 'json_reference' : 'parameter', value),
  Parameter: (writer, value) => writeField(writer, 'Parameter', (value as Json)['in'] === 'body' ? 'body_parameter' : 'non_body_parameter', value),
  NonBodyParameter: (writer, value) => writeField(writer, 'NonBodyParameter', `${String((value as Json)['in']).replace('formData', 'form_data')}_parameter_sub_schema`, value),
  SecurityDefinitionsItem: (writer, value) => writeField(writer, 'SecurityDefinitionsItem', 'api_key_security', value),
  Any: (writer, value) => writeField(writer, 'Any', 'yaml', `${JSON.stringify(value)}\n`), // JSON is YAML
};

function writeMessage(writer: Writer, message: string, value: unknown): void {
  const shape = shapes[message];
  if (shape) {
    shape(writer, value);
    return;
  }
  const json = value as Json; // messages without a shape of their own stand for JSON objects
  for (const name of Object.keys(fieldsOf(message))) {
    if (name === 'vendor_extension') continue;
    const member = json[jsonNames[name] ?? camel(name)];
    if (member !== undefined) writeField(writer, message, name, member);
  }
  if (fieldsOf(message)['vendor_extension']) {
    writeField(writer, message, 'vendor_extension', Object.entries(json).filter(([key]) => key.startsWith('x-')).map(([name, one]) => ({ name, value: one })));
  }
}

const jsonNames: Readonly<Record<string, string>> = { _ref: '$ref' };
function camel(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function named(writer: Writer, message: string, field: string, value: unknown): void {
  writeField(writer, message, field, Object.entries(value as Json).filter(([name]) => !name.startsWith('x-')).map(([name, one]) => ({ name, value: one })));
}

function writeField(writer: Writer, message: string, name: string, value: unknown): void {
  const field = fieldsOf(message)[name];
  if (!field) throw new Error(`openapi.v2.${message} has no field ${name}`);
  for (const one of field.label === 'repeated' ? value as unknown[] : [value]) writeValue(writer, field, one);
}

function writeValue(writer: Writer, { n, type }: FieldNumber, value: unknown): void {
  switch (type) {
    case 'string': writer.uint32(n << 3 | 2).string(String(value)); return;
    case 'bool': writer.uint32(n << 3).bool(value === true); return;
    case 'int64': case 'int32': writer.uint32(n << 3).int64(Number(value)); return;
    case 'double': writer.uint32(n << 3 | 1).double(Number(value)); return;
    default:
      writer.uint32(n << 3 | 2).fork();
      writeMessage(writer, type, value);
      writer.ldelim();
  }
}

function fieldsOf(message: string): Record<string, FieldNumber> {
  const fields = messages[message];
  if (!fields) throw new Error(`openapi.v2 has no message ${message}`);
  return fields;
}
