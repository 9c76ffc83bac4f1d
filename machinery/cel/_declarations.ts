// Every function of the expression language in Kubernetes 1.36 and its overloads, in the reference implementation's order:
// the overload's id, whether it is called on its first argument, the name, the arguments' types and the result's.

import { mapOf, optionalOf } from './types.ts';
import type { Type } from './types.ts';

const table = `
logical_not global !_ bool -> bool
negate_double global -_ double -> double
negate_int64 global -_ int -> int
in_list global @in A; list(A) -> bool
in_map global @in A; map(A, B) -> bool
not_strictly_false global @not_strictly_false bool -> bool
list_int_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(int) -> list(T)
list_uint_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(uint) -> list(T)
list_double_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(double) -> list(T)
list_bool_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(bool) -> list(T)
list_google.protobuf.Duration_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(duration) -> list(T)
list_google.protobuf.Timestamp_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(timestamp) -> list(T)
list_string_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(string) -> list(T)
list_bytes_sortByAssociatedKeys member @sortByAssociatedKeys list(T); list(bytes) -> list(T)
not_equals global _!=_ A; A -> bool
modulo_int64 global _%_ int; int -> int
modulo_uint64 global _%_ uint; uint -> uint
logical_and global _&&_ bool; bool -> bool
multiply_double global _*_ double; double -> double
multiply_int64 global _*_ int; int -> int
multiply_uint64 global _*_ uint; uint -> uint
add_bytes global _+_ bytes; bytes -> bytes
add_double global _+_ double; double -> double
add_duration_duration global _+_ duration; duration -> duration
add_duration_timestamp global _+_ duration; timestamp -> timestamp
add_timestamp_duration global _+_ timestamp; duration -> timestamp
add_int64 global _+_ int; int -> int
add_list global _+_ list(A); list(A) -> list(A)
add_string global _+_ string; string -> string
add_uint64 global _+_ uint; uint -> uint
subtract_double global _-_ double; double -> double
subtract_duration_duration global _-_ duration; duration -> duration
subtract_int64 global _-_ int; int -> int
subtract_timestamp_duration global _-_ timestamp; duration -> timestamp
subtract_timestamp_timestamp global _-_ timestamp; timestamp -> duration
subtract_uint64 global _-_ uint; uint -> uint
divide_double global _/_ double; double -> double
divide_int64 global _/_ int; int -> int
divide_uint64 global _/_ uint; uint -> uint
less_equals_bool global _<=_ bool; bool -> bool
less_equals_int64 global _<=_ int; int -> bool
less_equals_int64_double global _<=_ int; double -> bool
less_equals_int64_uint64 global _<=_ int; uint -> bool
less_equals_uint64 global _<=_ uint; uint -> bool
less_equals_uint64_double global _<=_ uint; double -> bool
less_equals_uint64_int64 global _<=_ uint; int -> bool
less_equals_double global _<=_ double; double -> bool
less_equals_double_int64 global _<=_ double; int -> bool
less_equals_double_uint64 global _<=_ double; uint -> bool
less_equals_string global _<=_ string; string -> bool
less_equals_bytes global _<=_ bytes; bytes -> bool
less_equals_timestamp global _<=_ timestamp; timestamp -> bool
less_equals_duration global _<=_ duration; duration -> bool
less_bool global _<_ bool; bool -> bool
less_int64 global _<_ int; int -> bool
less_int64_double global _<_ int; double -> bool
less_int64_uint64 global _<_ int; uint -> bool
less_uint64 global _<_ uint; uint -> bool
less_uint64_double global _<_ uint; double -> bool
less_uint64_int64 global _<_ uint; int -> bool
less_double global _<_ double; double -> bool
less_double_int64 global _<_ double; int -> bool
less_double_uint64 global _<_ double; uint -> bool
less_string global _<_ string; string -> bool
less_bytes global _<_ bytes; bytes -> bool
less_timestamp global _<_ timestamp; timestamp -> bool
less_duration global _<_ duration; duration -> bool
equals global _==_ A; A -> bool
greater_equals_bool global _>=_ bool; bool -> bool
greater_equals_int64 global _>=_ int; int -> bool
greater_equals_int64_double global _>=_ int; double -> bool
greater_equals_int64_uint64 global _>=_ int; uint -> bool
greater_equals_uint64 global _>=_ uint; uint -> bool
greater_equals_uint64_double global _>=_ uint; double -> bool
greater_equals_uint64_int64 global _>=_ uint; int -> bool
greater_equals_double global _>=_ double; double -> bool
greater_equals_double_int64 global _>=_ double; int -> bool
greater_equals_double_uint64 global _>=_ double; uint -> bool
greater_equals_string global _>=_ string; string -> bool
greater_equals_bytes global _>=_ bytes; bytes -> bool
greater_equals_timestamp global _>=_ timestamp; timestamp -> bool
greater_equals_duration global _>=_ duration; duration -> bool
greater_bool global _>_ bool; bool -> bool
greater_int64 global _>_ int; int -> bool
greater_int64_double global _>_ int; double -> bool
greater_int64_uint64 global _>_ int; uint -> bool
greater_uint64 global _>_ uint; uint -> bool
greater_uint64_double global _>_ uint; double -> bool
greater_uint64_int64 global _>_ uint; int -> bool
greater_double global _>_ double; double -> bool
greater_double_int64 global _>_ double; int -> bool
greater_double_uint64 global _>_ double; uint -> bool
greater_string global _>_ string; string -> bool
greater_bytes global _>_ bytes; bytes -> bool
greater_timestamp global _>_ timestamp; timestamp -> bool
greater_duration global _>_ duration; duration -> bool
conditional global _?_:_ bool; A; A -> A
list_optindex_optional_int global _[?_] list(V); int -> optional(V)
optional_list_optindex_optional_int global _[?_] optional(list(V)); int -> optional(V)
map_optindex_optional_value global _[?_] map(K, V); K -> optional(V)
optional_map_optindex_optional_value global _[?_] optional(map(K, V)); K -> optional(V)
index_list global _[_] list(A); int -> A
index_map global _[_] map(A, B); A -> B
optional_list_index_int global _[_] optional(list(V)); int -> optional(V)
optional_map_index_value global _[_] optional(map(K, V)); K -> optional(V)
logical_or global _||_ bool; bool -> bool
quantity_add member add kubernetes.Quantity; kubernetes.Quantity -> kubernetes.Quantity
quantity_add_int member add kubernetes.Quantity; int -> kubernetes.Quantity
decision_allowed member allowed kubernetes.authorization.Decision -> bool
quantity_get_float member asApproximateFloat kubernetes.Quantity -> double
quantity_get_int member asInteger kubernetes.Quantity -> int
bool_to_bool global bool bool -> bool
string_to_bool global bool string -> bool
bytes_to_bytes global bytes bytes -> bytes
string_to_bytes global bytes string -> bytes
@mapInsert_map_key_value global cel.@mapInsert map(K, V); K; V -> map(K, V)
@mapInsert_map_map global cel.@mapInsert map(K, V); map(K, V) -> map(K, V)
string_char_at_int member charAt string; int -> string
pathcheck_check member check kubernetes.authorization.PathCheck; string -> kubernetes.authorization.Decision
resourcecheck_check member check kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.Decision
string_to_cidr global cidr string -> net.CIDR
quantity_compare_to member compareTo kubernetes.Quantity; kubernetes.Quantity -> int
semver_compare_to member compareTo kubernetes.Semver; kubernetes.Semver -> int
contains_string member contains string; string -> bool
cidr_contains_cidr_string member containsCIDR net.CIDR; string -> bool
cidr_contains_cidr member containsCIDR net.CIDR; net.CIDR -> bool
cidr_contains_ip_string member containsIP net.CIDR; string -> bool
cidr_contains_ip_ip member containsIP net.CIDR; net.IP -> bool
list_distinct member distinct list(T) -> list(T)
double_to_double global double double -> double
int64_to_double global double int -> double
string_to_double global double string -> double
uint64_to_double global double uint -> double
duration_to_duration global duration duration -> duration
int64_to_duration global duration int -> duration
string_to_duration global duration string -> duration
to_dyn global dyn A -> dyn
ends_with_string member endsWith string; string -> bool
decision_error member error kubernetes.authorization.Decision -> string
decision_errored member errored kubernetes.authorization.Decision -> bool
ip_family member family net.IP -> int
authorizer_fieldselector member fieldSelector kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.ResourceCheck
string_find_string member find string; string -> string
string_find_all_string member findAll string; string -> list(string)
string_find_all_string_int member findAll string; string; int -> list(string)
list_first member first list(V) -> optional(V)
list_flatten member flatten list(list(T)) -> list(T)
list_flatten_int member flatten list(dyn); int -> list(dyn)
string_format member format string; list(dyn) -> string
format.byte global format.byte -> kubernetes.NamedFormat
format.date global format.date -> kubernetes.NamedFormat
format.datetime global format.datetime -> kubernetes.NamedFormat
format.dns1035Label global format.dns1035Label -> kubernetes.NamedFormat
format.dns1035LabelPrefix global format.dns1035LabelPrefix -> kubernetes.NamedFormat
format.dns1123Label global format.dns1123Label -> kubernetes.NamedFormat
format.dns1123LabelPrefix global format.dns1123LabelPrefix -> kubernetes.NamedFormat
format.dns1123Subdomain global format.dns1123Subdomain -> kubernetes.NamedFormat
format.dns1123SubdomainPrefix global format.dns1123SubdomainPrefix -> kubernetes.NamedFormat
format.labelValue global format.labelValue -> kubernetes.NamedFormat
format-named global format.named string -> optional(kubernetes.NamedFormat)
format.qualifiedName global format.qualifiedName -> kubernetes.NamedFormat
format.uri global format.uri -> kubernetes.NamedFormat
format.uuid global format.uuid -> kubernetes.NamedFormat
timestamp_to_day_of_month_1_based member getDate timestamp -> int
timestamp_to_day_of_month_1_based_with_tz member getDate timestamp; string -> int
timestamp_to_day_of_month member getDayOfMonth timestamp -> int
timestamp_to_day_of_month_with_tz member getDayOfMonth timestamp; string -> int
timestamp_to_day_of_week member getDayOfWeek timestamp -> int
timestamp_to_day_of_week_with_tz member getDayOfWeek timestamp; string -> int
timestamp_to_day_of_year member getDayOfYear timestamp -> int
timestamp_to_day_of_year_with_tz member getDayOfYear timestamp; string -> int
url_get_escaped_path member getEscapedPath kubernetes.URL -> string
timestamp_to_year member getFullYear timestamp -> int
timestamp_to_year_with_tz member getFullYear timestamp; string -> int
url_get_host member getHost kubernetes.URL -> string
url_get_hostname member getHostname kubernetes.URL -> string
timestamp_to_hours member getHours timestamp -> int
timestamp_to_hours_with_tz member getHours timestamp; string -> int
duration_to_hours member getHours duration -> int
timestamp_to_milliseconds member getMilliseconds timestamp -> int
timestamp_to_milliseconds_with_tz member getMilliseconds timestamp; string -> int
duration_to_milliseconds member getMilliseconds duration -> int
timestamp_to_minutes member getMinutes timestamp -> int
timestamp_to_minutes_with_tz member getMinutes timestamp; string -> int
duration_to_minutes member getMinutes duration -> int
timestamp_to_month member getMonth timestamp -> int
timestamp_to_month_with_tz member getMonth timestamp; string -> int
url_get_port member getPort kubernetes.URL -> string
url_get_query member getQuery kubernetes.URL -> map(string, list(string))
url_get_scheme member getScheme kubernetes.URL -> string
timestamp_to_seconds member getSeconds timestamp -> int
timestamp_to_seconds_tz member getSeconds timestamp; string -> int
duration_to_seconds member getSeconds duration -> int
authorizer_group member group kubernetes.authorization.Authorizer; string -> kubernetes.authorization.GroupCheck
optional_hasValue member hasValue optional(V) -> bool
list_a_index_of_int member indexOf list(A); A -> int
string_index_of_string member indexOf string; string -> int
string_index_of_string_int member indexOf string; string; int -> int
int64_to_int64 global int int -> int
double_to_int64 global int double -> int
duration_to_int64 global int duration -> int
string_to_int64 global int string -> int
timestamp_to_int64 global int timestamp -> int
uint64_to_int64 global int uint -> int
string_to_ip global ip string -> net.IP
cidr_ip member ip net.CIDR -> net.IP
ip_is_canonical global ip.isCanonical string -> bool
is_cidr global isCIDR string -> bool
ip_is_global_unicast member isGlobalUnicast net.IP -> bool
quantity_is_greater_than member isGreaterThan kubernetes.Quantity; kubernetes.Quantity -> bool
semver_is_greater_than member isGreaterThan kubernetes.Semver; kubernetes.Semver -> bool
is_ip global isIP string -> bool
quantity_is_integer member isInteger kubernetes.Quantity -> bool
quantity_is_less_than member isLessThan kubernetes.Quantity; kubernetes.Quantity -> bool
semver_is_less_than member isLessThan kubernetes.Semver; kubernetes.Semver -> bool
ip_is_link_local_multicast member isLinkLocalMulticast net.IP -> bool
ip_is_link_local_unicast member isLinkLocalUnicast net.IP -> bool
ip_is_loopback member isLoopback net.IP -> bool
is_quantity_string global isQuantity string -> bool
is_semver_string global isSemver string -> bool
is_semver_string_bool global isSemver string; bool -> bool
list_int_is_sorted_bool member isSorted list(int) -> bool
list_uint_is_sorted_bool member isSorted list(uint) -> bool
list_double_is_sorted_bool member isSorted list(double) -> bool
list_bool_is_sorted_bool member isSorted list(bool) -> bool
list_duration_is_sorted_bool member isSorted list(duration) -> bool
list_timestamp_is_sorted_bool member isSorted list(timestamp) -> bool
list_string_is_sorted_bool member isSorted list(string) -> bool
list_bytes_is_sorted_bool member isSorted list(bytes) -> bool
is_url_string global isURL string -> bool
ip_is_unspecified member isUnspecified net.IP -> bool
list_join member join list(string) -> string
list_join_string member join list(string); string -> string
string_jsonpatch_escapeKey_string global jsonpatch.escapeKey string -> string
authorizer_labelselector member labelSelector kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.ResourceCheck
list_last member last list(V) -> optional(V)
list_a_last_index_of_int member lastIndexOf list(A); A -> int
string_last_index_of_string member lastIndexOf string; string -> int
string_last_index_of_string_int member lastIndexOf string; string; int -> int
lists_range global lists.range int -> list(int)
string_lower_ascii member lowerAscii string -> string
semver_major member major kubernetes.Semver -> int
cidr_masked member masked net.CIDR -> net.CIDR
matches global matches string; string -> bool
matches_string member matches string; string -> bool
list_int_max_int member max list(int) -> int
list_uint_max_uint member max list(uint) -> uint
list_double_max_double member max list(double) -> double
list_bool_max_bool member max list(bool) -> bool
list_duration_max_duration member max list(duration) -> duration
list_timestamp_max_timestamp member max list(timestamp) -> timestamp
list_string_max_string member max list(string) -> string
list_bytes_max_bytes member max list(bytes) -> bytes
list_int_min_int member min list(int) -> int
list_uint_min_uint member min list(uint) -> uint
list_double_min_double member min list(double) -> double
list_bool_min_bool member min list(bool) -> bool
list_duration_min_duration member min list(duration) -> duration
list_timestamp_min_timestamp member min list(timestamp) -> timestamp
list_string_min_string member min list(string) -> string
list_bytes_min_bytes member min list(bytes) -> bytes
semver_minor member minor kubernetes.Semver -> int
resourcecheck_name member name kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.ResourceCheck
resourcecheck_namespace member namespace kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.ResourceCheck
optional_none global optional.none -> optional(V)
optional_of global optional.of V -> optional(V)
optional_ofNonZeroValue global optional.ofNonZeroValue V -> optional(V)
optional_unwrap global optional.unwrap list(optional(V)) -> list(V)
optional_or_optional member or optional(V); optional(V) -> optional(V)
optional_orValue_value member orValue optional(V); V -> V
semver_patch member patch kubernetes.Semver -> int
authorizer_path member path kubernetes.authorization.Authorizer; string -> kubernetes.authorization.PathCheck
cidr_prefix_length member prefixLength net.CIDR -> int
string_to_quantity global quantity string -> kubernetes.Quantity
decision_reason member reason kubernetes.authorization.Decision -> string
string_replace_string_string member replace string; string; string -> string
string_replace_string_string_int member replace string; string; string; int -> string
groupcheck_resource member resource kubernetes.authorization.GroupCheck; string -> kubernetes.authorization.ResourceCheck
list_reverse member reverse list(T) -> list(T)
string_to_semver global semver string -> kubernetes.Semver
string_bool_to_semver global semver string; bool -> kubernetes.Semver
authorizer_serviceaccount member serviceAccount kubernetes.authorization.Authorizer; string; string -> kubernetes.authorization.Authorizer
list_sets_contains_list global sets.contains list(T); list(T) -> bool
list_sets_equivalent_list global sets.equivalent list(T); list(T) -> bool
list_sets_intersects_list global sets.intersects list(T); list(T) -> bool
quantity_sign global sign kubernetes.Quantity -> int
size_bytes global size bytes -> int
bytes_size member size bytes -> int
size_list global size list(A) -> int
list_size member size list(A) -> int
size_map global size map(A, B) -> int
map_size member size map(A, B) -> int
size_string global size string -> int
string_size member size string -> int
list_slice member slice list(T); int; int -> list(T)
list_int_sort member sort list(int) -> list(int)
list_uint_sort member sort list(uint) -> list(uint)
list_double_sort member sort list(double) -> list(double)
list_bool_sort member sort list(bool) -> list(bool)
list_google.protobuf.Duration_sort member sort list(duration) -> list(duration)
list_google.protobuf.Timestamp_sort member sort list(timestamp) -> list(timestamp)
list_string_sort member sort list(string) -> list(string)
list_bytes_sort member sort list(bytes) -> list(bytes)
string_split_string member split string; string -> list(string)
string_split_string_int member split string; string; int -> list(string)
starts_with_string member startsWith string; string -> bool
string_to_string global string string -> string
bool_to_string global string bool -> string
bytes_to_string global string bytes -> string
double_to_string global string double -> string
duration_to_string global string duration -> string
int64_to_string global string int -> string
timestamp_to_string global string timestamp -> string
uint64_to_string global string uint -> string
ip_to_string global string net.IP -> string
cidr_to_string global string net.CIDR -> string
strings_quote global strings.quote string -> string
quantity_sub member sub kubernetes.Quantity; kubernetes.Quantity -> kubernetes.Quantity
quantity_sub_int member sub kubernetes.Quantity; int -> kubernetes.Quantity
resourcecheck_subresource member subresource kubernetes.authorization.ResourceCheck; string -> kubernetes.authorization.ResourceCheck
string_substring_int member substring string; int -> string
string_substring_int_int member substring string; int; int -> string
list_int_sum_int member sum list(int) -> int
list_uint_sum_uint member sum list(uint) -> uint
list_double_sum_double member sum list(double) -> double
list_duration_sum_duration member sum list(duration) -> duration
timestamp_to_timestamp global timestamp timestamp -> timestamp
int64_to_timestamp global timestamp int -> timestamp
string_to_timestamp global timestamp string -> timestamp
string_trim member trim string -> string
type global type A -> type(A)
uint64_to_uint64 global uint uint -> uint
double_to_uint64 global uint double -> uint
int64_to_uint64 global uint int -> uint
string_to_uint64 global uint string -> uint
optional_unwrapOpt member unwrapOpt list(optional(V)) -> list(V)
string_upper_ascii member upperAscii string -> string
string_to_url global url string -> kubernetes.URL
format-validate member validate kubernetes.NamedFormat; string -> optional(list(string))
optional_value member value optional(V) -> V
`;

export interface Overload {
  readonly id: string;
  readonly member: boolean;
  readonly args: readonly Type[];
  readonly result: Type;
}

let functions: Map<string, readonly Overload[]> | undefined;

/** Read when first asked for: starting up does not need them. */
export function overloadsOf(name: string): readonly Overload[] | undefined {
  functions ??= read();
  return functions.get(name);
}

/** For a test. */
export function declaredFunctions(): { name: string; id: string }[] {
  return [...read()].flatMap(([name, overloads]) => overloads.map(({ id }) => ({ name, id })));
}

function read(): Map<string, readonly Overload[]> {
  const found = new Map<string, Overload[]>();
  for (const line of table.trim().split('\n')) {
    const [, id, style, name, args, result] = /^(\S+) (\S+) (\S+) (.*)-> (.+)$/.exec(line)!;
    const overload = { id: id!, member: style === 'member', args: args!.split(';').map(text => text.trim()).filter(Boolean).map(readType), result: readType(result!) };
    const overloads = found.get(name!);
    if (overloads === undefined) found.set(name!, [overload]);
    else overloads.push(overload);
  }
  return found;
}

/** `list(map(A, int))`; a capital letter is a parameter. */
function readType(text: string): Type {
  const [, name, inner] = /^([^(]+)(?:\((.*)\))?$/.exec(text)!;
  if (inner !== undefined) {
    const [first, second] = topLevel(inner).map(readType);
    switch (name) {
      case 'list': return { kind: 'list', element: first! };
      case 'map': return mapOf(first!, second!);
      case 'optional': return optionalOf(first!);
      default: return { kind: 'type', of: first! };
    }
  }
  if (/^[A-Z]$/.test(text)) return { kind: 'param', name: text };
  return text.includes('.') ? { kind: 'opaque', name: text } : { kind: text } as Type; // The rest of the table's names are kinds.
}

function topLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (text[i] === ',' && depth === 0) {
      parts.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  return [...parts, text.slice(from).trim()];
}
