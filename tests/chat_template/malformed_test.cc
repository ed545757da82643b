// Malformed and hostile templates and contexts: each ends with an error that names the template
// and says what is wrong, within a second and without a crash.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "chat_template/chat_template.h"

namespace lotse {
namespace {

using Clock = std::chrono::steady_clock;

// A sanitizer slows everything down; the deadline is for the product.
#if defined(__SANITIZE_ADDRESS__)
constexpr auto kDeadline = std::chrono::seconds(5);
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr auto kDeadline = std::chrono::seconds(5);
#else
constexpr auto kDeadline = std::chrono::seconds(1);
#endif
#else
constexpr auto kDeadline = std::chrono::seconds(1);
#endif

Result<std::string> render(const std::string& source, const OrderedJson& context) {
  const auto compiled = LOTSE_TRY(ChatTemplate::compile(source, "bad.jinja"));
  RenderOptions options;
  options.limits.max_time = std::chrono::milliseconds(500);
  return compiled->render(context, options);
}

// A machine that is slow or busy may come to the time limit before another one.
bool is_time_limit(const Error& error) {
  return error.code == ErrorCode::limit &&
         error.message.find("takes longer than 500 ms") != std::string::npos;
}

void expect_error(const std::string& source, const std::string& message,
                  const OrderedJson& context = OrderedJson::object()) {
  const auto start = Clock::now();
  const auto text = render(source, context);
  const auto elapsed = Clock::now() - start;
  const std::string shown = source.substr(0, 200);
  ASSERT_FALSE(text) << shown << " gives " << text->substr(0, 200);
  EXPECT_TRUE(text.error().message.starts_with("bad.jinja: ")) << text.error().message;
  EXPECT_TRUE(text.error().message.find(message) != std::string::npos ||
              is_time_limit(text.error()))
      << shown << "\nexpected: " << message << "\nactual:   " << text.error().message;
  EXPECT_LT(elapsed, kDeadline) << shown;
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

struct Case {
  const char* source;
  const char* message;
};

class Malformed : public testing::TestWithParam<Case> {};

TEST_P(Malformed, IsAnError) { expect_error(GetParam().source, GetParam().message); }

const Case kLexical[] = {
    {"{{ 1", "line 1: expected token 'end of print statement', got 'end of template'"},
    {"a\nb{{", "line 2: unexpected 'end of template'"},
    {"{%", "line 1: tag name expected"},
    {"{% if 1", "expected token 'end of statement block'"},
    {"a\n\n{# never closed", "line 3: Missing end of comment tag"},
    {"{#", "Missing end of comment tag"},
    {"{% raw %}x", "Missing end of raw directive"},
    {"{% raw %}{% endraw", "Missing end of raw directive"},
    {"{{ 'abc }}", "a string without end"},
    {"{{ \"abc\\\" }}", "a string without end"},
    {"{{ '\\", "a string without end"},
    {"{{ '\\x4' }}", "truncated"},
    {"{{ '\\u12G4' }}", "truncated"},
    {"{{ '\\U0011FFFF' }}", "illegal Unicode character"},
    {"{{ '\\ud800' }}", "illegal Unicode character"},
    {"{{ '\\N{DASH}' }}", "escape \\N in a string is not supported"},
    {"{{ ! }}", "unexpected char '!'"},
    {"{{ a ? b }}", "unexpected char '?'"},
    {"{{ $a }}", "unexpected char '$'"},
    {"{{ `a` }}", "unexpected char '`'"},
    {"{{ a && b }}", "unexpected char '&'"},
    {"{{ © }}", "unexpected char '©'"},
    {"{{ 1) }}", "unexpected ')'"},
    {"{{ (1] }}", "unexpected ']', expected ')'"},
    {"{{ [1) }}", "unexpected ')', expected ']'"},
    {"{{ {1] }}", "unexpected ']', expected '}'"},
    {"{{ (1 }}", "unexpected '}', expected ')'"},
    {"{{ 99999999999999999999 }}", "integer 99999999999999999999 is beyond 64 bits"},
    {"{{ 0xfffffffffffffffff }}", "beyond 64 bits"},
    {"{{ 1_ }}", "expected token 'end of print statement', got '_'"},
    {"{{ ²x }}", "unexpected char"},
};
INSTANTIATE_TEST_SUITE_P(Lexical, Malformed, testing::ValuesIn(kLexical));

const Case kSyntax[] = {
    {"{{ }}", "Expected an expression, got 'end of print statement'"},
    {"{% %}", "tag name expected"},
    {"{% 5 %}", "tag name expected"},
    {"{{ 1 2 }}", "expected token 'end of print statement', got '2'"},
    {"{{ 1 + }}", "unexpected 'end of print statement'"},
    {"{{ * 1 }}", "unexpected '*'"},
    {"{{ a. }}", "expected name or number"},
    {"{{ a.'b' }}", "expected name or number"},
    {"{{ a | }}", "expected token 'name', got 'end of print statement'"},
    {"{{ a | 5 }}", "expected token 'name', got '5'"},
    {"{{ a is }}", "expected token 'name'"},
    {"{{ a is odd is even }}", "You cannot chain multiple tests with is"},
    {"{{ a[ }}", "unexpected '}'"},
    {"{{ a[1:2:3:4] }}", "expected token ']', got ':'"},
    {"{{ f(a=1, 2) }}", "invalid syntax for function call expression"},
    {"{{ f(**a, *b) }}", "invalid syntax for function call expression"},
    {"{{ f(a=1, a=2) }}", "keyword argument repeated: a"},
    {"{{ [1 2] }}", "expected token ',', got '2'"},
    {"{{ {1} }}", "expected token ':', got '}'"},
    {"{{ {1:2 3:4} }}", "expected token ',', got '3'"},
    {"{{ 1 if }}", "unexpected 'end of print statement'"},
    {"{{ 1 if 2 else }}", "unexpected 'end of print statement'"},
    {"{{ not }}", "unexpected 'end of print statement'"},
    {"{{ x = 1 }}", "got '='"},
    {"{% if %}{% endif %}", "Expected an expression"},
    {"{% if 1 %}", "unexpected end of template; the tag 'if' opened in line 1 needs 'elif' or"},
    {"{% if 1 %}{% endfor %}", "unknown tag 'endfor'; expected 'elif' or 'else' or 'endif'"},
    {"{% endif %}", "unknown tag 'endif'"},
    {"{% else %}", "unknown tag 'else'"},
    {"{% if 1 %}{% else %}{% else %}{% endif %}", "unknown tag 'else'"},
    {"{% if 1 endif %}", "expected token 'end of statement block', got 'endif'"},
    {"{% for %}{% endfor %}", "Expected an expression"},
    {"{% for x %}{% endfor %}", "expected token 'in'"},
    {"{% for x in %}{% endfor %}", "Expected an expression"},
    {"{% for 1 in a %}{% endfor %}", "can't assign"},
    {"{% for a.b in c %}{% endfor %}", "expected token 'in', got '.'"},
    {"{% for x in a %}", "the tag 'for' opened in line 1 needs 'endfor' or 'else'"},
    {"{% for x in a recursive %}{% endfor %}", "recursive loops are not supported"},
    {"{% for loop in a %}{% endfor %}", "Can't assign to special loop variable"},
    {"{% for x in a %}{% set loop = 1 %}{% endfor %}", "Can't assign to special loop variable"},
    {"{% set %}", "Expected an expression"},
    {"{% set 1 = 2 %}", "can't assign"},
    {"{% set true = 2 %}", "can't assign"},
    {"{% set (a, 1) = 2 %}", "can't assign"},
    {"{% set a = %}", "Expected an expression"},
    {"{% set a %}x", "the tag 'set' opened in line 1 needs 'endset'"},
    {"{% set a[0] = 1 %}", "expected token 'end of statement block', got '['"},
    {"{% macro %}{% endmacro %}", "expected token 'name'"},
    {"{% macro m %}{% endmacro %}", "expected token '('"},
    {"{% macro m(1) %}{% endmacro %}", "expected token 'name', got '1'"},
    {"{% macro m(a, a) %}{% endmacro %}", "duplicate argument 'a'"},
    {"{% macro m(a=1, b) %}{% endmacro %}", "non-default argument follows default argument"},
    {"{% macro m() %}", "the tag 'macro' opened in line 1 needs 'endmacro'"},
    {"{% call 5 %}{% endcall %}", "expected call"},
    {"{% filter %}{% endfilter %}", "expected token 'name'"},
    {"{% filter nope %}{% endfilter %}", "No filter named 'nope'."},
    {"{% with a %}{% endwith %}", "expected token '='"},
    {"{% break %}", "'break' outside loop"},
    {"{% continue %}", "'continue' outside loop"},
    {"{% for x in a %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "outside loop"},
    {"{% include 'x' %}", "the tag 'include' is not supported"},
    {"{% import 'x' as y %}", "the tag 'import' is not supported"},
    {"{% from 'x' import y %}", "the tag 'from' is not supported"},
    {"{% extends 'x' %}", "the tag 'extends' is not supported"},
    {"{% block x %}{% endblock %}", "the tag 'block' is not supported"},
    {"{% autoescape true %}{% endautoescape %}", "the tag 'autoescape' is not supported"},
    {"{% do f() %}", "unknown tag 'do'"},
    {"{% debug %}", "unknown tag 'debug'"},
    {"x\n{{ 1|nope }}", "line 2: No filter named 'nope'."},
    {"{{ 1 is nope }}", "No test named 'nope'."},
    {"{% generation %}", "the tag 'generation' opened in line 1 needs 'endgeneration'"},
};
INSTANTIATE_TEST_SUITE_P(Syntax, Malformed, testing::ValuesIn(kSyntax));

const Case kRuntime[] = {
    {"a\n\n{{ x.y }}", "line 3: 'x' is undefined"},
    {"{{ 'a'.b.c }}", "'str object' has no attribute 'b'"},
    {"{{ {}.a.b }}", "'dict object' has no attribute 'a'"},
    {"{{ [1][5].x }}", "list object has no element 5"},
    {"{{ f() }}", "'f' is undefined"},
    {"{{ 5() }}", "'int' object is not callable"},
    {"{{ 1 + 'a' }}", "unsupported operand types for +: 'int' and 'str'"},
    {"{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str"},
    {"{{ 1 / 0 }}", "division by zero"},
    {"{{ 1 % 0 }}", "division by zero"},
    {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
    {"{{ -9223372036854775807 - 2 }}", "beyond 64 bits"},
    {"{{ 9223372036854775807 * 2 }}", "beyond 64 bits"},
    {"{{ (-9223372036854775807 - 1) // -1 }}", "beyond 64 bits"},
    {"{{ -(-9223372036854775807 - 1) }}", "beyond 64 bits"},
    {"{{ (-9223372036854775807 - 1)|abs }}", "beyond 64 bits"},
    {"{{ 10 ** 100 }}", "beyond 64 bits"},
    {"{{ 1e300|int }}", "beyond 64 bits"},
    {"{{ '99999999999999999999'|int }}", "beyond 64 bits"},
    {"{{ 1 < 'a' }}", "'<' not supported between 'int' and 'str'"},
    {"{{ 1 in 5 }}", "argument of type 'int' is not iterable"},
    {"{% for x in none %}{% endfor %}", "'NoneType' object is not iterable"},
    {"{% for a, b in [1] %}{% endfor %}", "'int' object is not iterable"},
    {"{% for a, b in [[1]] %}{% endfor %}", "cannot unpack 1 values into 2 names"},
    {"{% set a.b = 1 %}", "cannot assign attribute on non-namespace object"},
    {"{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "cannot have the attribute"},
    {"{{ [].append(1) }}", "access to attribute 'append' of 'list' object is unsafe."},
    {"{{ {}.update({}) }}", "access to attribute 'update' of 'dict' object is unsafe."},
    {"{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe."},
    {"{{ range.__globals__.x }}", "'__globals__'"},
    {"{{ ''.__class__() }}", "is unsafe"},
    {"{{ ''['__class__'].x }}", "is unsafe"},
    {"{{ '{0.__class__.x}'.format('a') }}", "is unsafe"},
    {"{% macro m() %}{% endmacro %}{{ m.__call__.x }}", "is unsafe"},
    {"{{ cycler.__init__.__globals__.os }}", "the function 'cycler' is not supported"},
    {"{{ lipsum.__globals__ }}", "the function 'lipsum' is not supported"},
    {"{{ self.__init__.x }}", "'self' is undefined"},
    {"{{ {[]: 1} }}", "unhashable type: 'list'"},
    {"{{ raise_exception('Roles\nmust alternate') }}", "Roles\nmust alternate"},
    {"{{ range() }}", "range needs the argument 'start'"},
    {"{{ range(1, 2, 0) }}", "must not be zero"},
    {"{{ dict(5) }}", "'int' object is not iterable"},
    {"{{ strftime_now(5) }}", "strftime_now: expected str, got 'int'"},
    {"{{ strftime_now('%Q') }}", "the directive %Q is not supported"},
    {"{{ strftime_now('%') }}", "a '%' at the end"},
    {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "takes not more than 1 argument"},
    {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "takes no keyword argument 'b'"},
    {"{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}", "argument 'caller'"},
    {"{{ undefined|tojson }}", "Object of type Undefined is not JSON serializable"},
    {"{{ [1, 'a']|sort }}", "not supported between"},
    {"{{ 'a'|indent('x', 1, 2, 3) }}", "indent takes at most 3 arguments, 4 given"},
    {"{{ 'a'|trim(nope=1) }}", "trim got an unexpected keyword argument 'nope'"},
    {"{{ 'a'|replace('b') }}", "replace needs the argument 'new'"},
    {"{{ 5|length }}", "object of type 'int' has no len()"},
    {"{{ [1]|map('nope')|list }}", "No filter named 'nope'."},
    {"{{ [1]|select('nope')|list }}", "No test named 'nope'."},
    {"{{ ['a']|map('map', 'map')|map('list')|list }}", "map requires a filter argument"},
    {"{{ 'a'|groupby('b') }}", "not supported"},
    {"{{ 'a'.encode() }}", "the method str.encode is not supported"},
    {"{{ 5 .real }}", "int.real is not supported"},
    {"{{ [1]|map('upper') }}", "printing a generator"},
    {"{{ 'a'.upper }}", "printing a builtin_function_or_method"},
    {"{{ '%d' % 'a' }}", "a real number is required, not str"},
    {"{{ '%*d' % (1, 2) }}", "'*' in a format"},
    {"{{ '{:{}}'.format(1, 2) }}", "a field within a field"},
    {"{{ (-8) ** 0.5 }}", "complex numbers"},
};
INSTANTIATE_TEST_SUITE_P(Runtime, Malformed, testing::ValuesIn(kRuntime));

// Each wants far more time, memory or stack than it may have.
const Case kHostile[] = {
    {"{% for i in range(10**9) %}x{% endfor %}", "Range too big"},
    {"{{ range(-9223372036854775807, 9223372036854775807)|list }}", "Range too big"},
    {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "more"},
    {"{% for i in range(99999) %}{% for j in range(99999) %}{% set x = i ~ j %}{% endfor %}"
     "{% endfor %}",
     "takes"},
    {"{{ 'a' * 10**18 }}", "more than 8388608 bytes"},
    {"{{ [1] * 10**18 }}", "more than 8388608 bytes"},
    {"{{ (1,) * 9223372036854775807 }}", "more than 8388608 bytes"},
    {"{{ 'ab' * 9223372036854775807 }}", "more than 8388608 bytes"},
    {"{{ 'a'|center(10**15) }}", "more than 8388608 bytes"},
    {"{{ 'a'.ljust(10**15) }}", "more than 8388608 bytes"},
    {"{{ 'a'.zfill(9223372036854775807) }}", "more than 8388608 bytes"},
    {"{{ 'a'.center(9223372036854775807, '你') }}", "more than 8388608 bytes"},
    {"{{ '%1000000000000d' % 1 }}", "more than 8388608 bytes"},
    {"{{ '%99999999999999999999d' % 1 }}", "too large a number in a format"},
    {"{{ '%.1000000f' % 1 }}", "precision of more than"},
    {"{{ '{:1000000000}'.format(1) }}", "more than 8388608 bytes"},
    {"{{ '{:.1000000000}'.format(1.5) }}", "precision of more than"},
    {"{{ 'a'|indent(10**15, true) }}", "more than 8388608 bytes"},
    {"{{ {}|tojson(indent=10**15) }}", "more than 8388608 bytes"},
    {"{{ ('a\n' * 100000)|indent(100000) }}", "more than"},
    {"{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}", "more than"},
    {"{{ ('a' * 1000000).replace('', 'b' * 1000000) }}", "more than"},
    {"{{ range(100000)|join('x' * 100000) }}", "more than"},
    {"{{ ('x' * 100000).join('y' * 100000) }}", "more than"},
    {"{{ [1]|batch(10**15, 0)|list }}", "more than 8388608 bytes"},
    {"{{ [1]|slice(10**15)|list }}", "more than"},
    {"{{ 10 ** 10 ** 10 ** 10 }}", "beyond 64 bits"},
    {"{{ 2.0 ** 1e308 }}", "beyond 64 bits"},
    {"{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
     "{% endfor %}",
     "more than 8388608 bytes"},
    {"{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}"
     "{% endfor %}",
     "more than 8388608 bytes"},
    {"{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
     "nests values deeper than 100 levels"},
    {"{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% set ns.x = {1: ns.x} %}"
     "{% endfor %}",
     "nests values deeper than 100 levels"},
    {"{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x.index] %}"
     "{% endfor %}",
     "nests values deeper than 100 levels"},
    {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
     "{% endfor %}{{ ns.x }}",
     "takes"},
    {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
     "{% endfor %}{{ ns.x|tojson }}",
     "takes"},
    {"{% set a = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set a.x = [a.x, a.x] %}"
     "{% set a.y = [a.y, a.y] %}{% endfor %}{{ a.x == a.y }}",
     "takes"},
    {"{% set a = namespace(x=(1,)) %}{% for i in range(60) %}{% set a.x = (a.x, a.x) %}"
     "{% endfor %}{{ {a.x: 1} }}",
     "takes"},
    {"{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}", "recurses deeper"},
    {"{% set ns = namespace() %}{% set ns.l = [ns] %}{{ [ns]|string }}", "recurses deeper"},
    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recurses deeper than 800 levels"},
    {"{% macro m() %}{% call m() %}{% endcall %}{{ caller }}{% endmacro %}{{ m() }}", "recurses"},
    {"{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}",
     "takes"},
    {"{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}", "recurses deeper"},
    {"{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "prints more than 8388608 bytes"},
    {"{% set x %}{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}{% endset %}",
     "prints more than 8388608 bytes"},
    {"{% set s = 'a ' * 1000000 %}{% for i in range(1000) %}{% set x = s.split() %}{% endfor %}",
     "more than"},
    {"{% set s = 'a' * 8000000 %}{% set b = 'a' * 4000000 ~ 'b' %}{% for i in range(9999) %}"
     "{% set x = b in s %}{% endfor %}",
     "takes"},
    {"{% set s = 'é' * 4000000 %}{% for i in range(9999) %}{% set x = s[3999999] %}{% endfor %}",
     "takes"},
    {"{% set s = 'aB' * 2000000 %}{% for i in range(9999) %}{% set x = s.upper() %}{% endfor %}",
     "takes"},
    {"{% for i in range(9999) %}{% set x = range(100000)|sort %}{% endfor %}", "takes"},
    {"{% set ns = namespace(d={}) %}{% for i in range(99999) %}"
     "{% set ns.d = dict(ns.d, **{i|string: i}) %}{% endfor %}",
     "more than"},
    {"{% set ns = namespace() %}{% for i in range(9) %}{% if loop.changed([loop, ns]) %}"
     "{% set ns.l = loop %}{% endif %}{% endfor %}{{ ns.l.changed(1) }}",
     "behind the loop's end"},
};
INSTANTIATE_TEST_SUITE_P(Hostile, Malformed, testing::ValuesIn(kHostile));

TEST(MalformedTemplate, DeepNesting) {
  const int n = 20'000;
  expect_error("{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}", "nested deeper than 100");
  expect_error("{{ " + repeated("[", n) + repeated("]", n) + " }}", "nested deeper than 100");
  expect_error("{{ " + repeated("{1:", n) + "1" + repeated("}", n) + " }}", "nested deeper");
  expect_error("{{ " + repeated("not ", n) + "1 }}", "nested deeper than 100");
  expect_error("{{ " + repeated("-", n) + "1 }}", "nested deeper than 100");
  expect_error("{{ " + repeated("a[", n) + "1" + repeated("]", n) + " }}", "nested deeper");
  expect_error("{{ " + repeated("f(", n) + "1" + repeated(")", n) + " }}", "nested deeper");
  expect_error("{{ 1" + repeated(" if 1 else 1", n) + " }}", "nested deeper than 100");
  expect_error("{{ 1" + repeated(" + 1", n) + " }}", "deeper than 300 levels");
  expect_error("{{ 1" + repeated(" and 1", n) + " }}", "deeper than 300 levels");
  expect_error("{{ 2" + repeated(" ** 1", n) + " }}", "deeper than 300 levels");
  expect_error("{{ a" + repeated(".b", n) + " }}", "deeper than 300 levels");
  expect_error("{{ a" + repeated("|string", n) + " }}", "deeper than 300 levels");
  expect_error("{{ a" + repeated(" is string", 1) + repeated("()", n) + " }}", "deeper than 300");
  expect_error("{{ 1" + repeated(" if 1", n) + " }}", "deeper than 300 levels");
  expect_error(repeated("{% if 1 %}", n), "nested deeper than 100");
  expect_error(repeated("{% for x in y %}", n), "nested deeper than 100");
  expect_error(repeated("{% macro m() %}", n), "nested deeper than 100");
  expect_error(repeated("{% set x %}", n), "nested deeper than 100");
  expect_error("{% for " + repeated("(", n) + "x", "nested deeper than 100");
  expect_error(repeated("{", n), "nested deeper than 100");
}

// As deep as the parser permits, evaluated: the stack suffices, in a thread of ordinary size too.
TEST(MalformedTemplate, DeepestPermittedNesting) {
  std::string macro_body = "{{ m(n) }}";
  for (int i = 0; i < 45; ++i) macro_body = "{% if [[1]] %}" + macro_body + "{% endif %}";
  const std::string sources[] = {
      "{% macro m(n) %}" + macro_body + "{% endmacro %}{{ m(1) }}",
      "{{ " + repeated("[", 90) + repeated("]", 90) + " }}",
      "{{ 0" + repeated(" + 1", 290) + " }}",
      "{% macro m(n) %}{{ 0" + repeated(" + 1", 200) + " + m(n) }}{% endmacro %}{{ m(1) }}",
  };
  std::thread([&] {
    for (const std::string& source : sources) {
      const auto text = render(source, OrderedJson::object());
      if (!text) {
        EXPECT_NE(text.error().message.find("deeper"), std::string::npos) << text.error().message;
      }
    }
  }).join();
}

TEST(MalformedTemplate, LongButFlat) {
  const int n = 60'000;
  std::string branches = "{% if 0 %}";
  for (int i = 0; i < 20'000; ++i)
    branches += "{% elif x" + std::to_string(i) + " %}{% set y = 1 %}";
  const std::string sources[] = {
      "{{ [" + repeated("1,", n) + "] }}",
      "{{ 1" + repeated(" ~ 1", n) + " }}",
      repeated("{{ 1 }}", n),
      repeated("{% if 1 %}{% set a = 1 %}{% endif %}", 20'000),
      branches + "{% endif %}",
      repeated("{# c #}", n),
      "{# " + repeated("{{ %} ", n) + "#}",
      "{% raw %}" + repeated("{% ", n) + "{% endraw %}",
  };
  for (const std::string& source : sources) {
    const auto start = Clock::now();
    const auto text = render(source, OrderedJson::object());
    EXPECT_TRUE(text) << (text ? "" : text.error().message);
    EXPECT_LT(Clock::now() - start, kDeadline) << source.substr(0, 60);
  }
}

TEST(MalformedTemplate, SourceTooLongOrNotUtf8) {
  expect_error(std::string(2 << 20, 'a'), "at most 1048576 are supported");
  expect_error("a\xff", "not valid UTF-8");
  expect_error("{{ '\xc3' }}", "not valid UTF-8");
}

TEST(MalformedTemplate, Truncations) {
  const std::string source =
      "{%- macro m(a, b='x') -%}{{ a|join(',') ~ b[1:] }}{%- endmacro -%}{% for k, v in d.items() "
      "if v is not none %}{{- loop.index0 if loop.first else {'a': [1.5e3, (2,)]}['a'][0] -}}"
      "{% else %}{# none #}{% endfor %}{% set ns = namespace(x=1) %}{% set ns.x = m([1], b='\\n') "
      "%}{% raw %}{{ }}{% endraw %}{% call(q) m(1) %}{% endcall %}{% filter upper %}x{% endfilter "
      "%}";
  const OrderedJson context = {{"d", {{"a", 1}}}};
  for (size_t cut = 0; cut <= source.size(); ++cut) {
    (void)render(source.substr(0, cut), context);
    (void)render(source.substr(cut), context);
  }
  for (size_t at = 0; at < source.size(); ++at) {
    for (const char c : std::string("{}%#'\"()[]|.,:~-+*/\\ 0a\n\x01")) {
      std::string changed = source;
      changed[at] = c;
      (void)render(changed, context);
    }
  }
}

TEST(MalformedContext, IsAnError) {
  expect_error("x", "the context must be an object, got array", OrderedJson::array());
  expect_error("x", "the context must be an object, got null", OrderedJson());
  OrderedJson deep = 1;
  for (int i = 0; i < 5000; ++i) deep = OrderedJson::array({std::move(deep)});
  expect_error("x", "the context is nested deeper", {{"messages", deep}});
  expect_error("x", "an integer beyond 64 bits", {{"n", UINT64_MAX}});
  expect_error("x", "more than", {{"s", std::string(20 << 20, 'a')}});
  expect_error("{{ messages[0].content.x.y }}", "no attribute 'x'",
               {{"messages", {{{"content", "a"}}}}});
}

TEST(MalformedContext, LongTextInAnErrorIsCut) {
  const auto text = render("{{ raise_exception(s) }}", {{"s", repeated("\u4f60", 10'000)}});
  ASSERT_FALSE(text);
  EXPECT_LT(text.error().message.size(), 2100U);
  EXPECT_TRUE(text.error().message.ends_with("\u4f60\u2026")) << text.error().message;
}

TEST(MalformedContext, InvalidUtf8IsReplaced) {
  const auto text = render("{{ s }}{{ s|length }}", {{"s", "a\xff\xe4\xbd"}});
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text, "a\ufffd\ufffd\ufffd4");
}

TEST(OrderedJsonParser, KeepsOrderAndIsStrict) {
  const auto json =
      parse_ordered_json(R"({"z":1,"a":{"y":[1,{"c":null,"b":true}],"x":2.5}})", "in");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->dump(), R"({"z":1,"a":{"y":[1,{"c":null,"b":true}],"x":2.5}})");
  EXPECT_FALSE(parse_ordered_json(R"({"a":1,"a":2})", "in"));
  EXPECT_FALSE(parse_ordered_json(repeated("[", 65) + repeated("]", 65), "in"));
  EXPECT_TRUE(parse_ordered_json(repeated("[", 64) + repeated("]", 64), "in"));
  for (const char* bad : {"", "{", "[1,]", "{\"a\"}", "nul", "\"\xff\"", "1 2", "\"\\ud800\""}) {
    const auto parsed = parse_ordered_json(bad, "in");
    ASSERT_FALSE(parsed) << bad;
    EXPECT_TRUE(parsed.error().message.starts_with("in: ")) << parsed.error().message;
  }
  std::string many = "{";
  for (int i = 0; i < 100'000; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  many += "\"end\":1}";
  const auto start = Clock::now();
  EXPECT_TRUE(parse_ordered_json(many, "in"));
  EXPECT_LT(Clock::now() - start, kDeadline);
}

}  // namespace
}  // namespace lotse
