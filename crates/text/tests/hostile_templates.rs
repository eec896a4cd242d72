//! A template from a stranger's model file ends with an error, quickly and in little memory, whatever it does.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

use serde_json::{Map, json};
use std::time::{Duration, Instant};
use tokenmill_text::{ChatTemplate, TemplateError, TemplateInput, TemplateTokens, Timestamp};

fn input() -> TemplateInput {
    TemplateInput {
        messages: vec![json!({"role": "user", "content": "hi"})],
        tools: None,
        add_generation_prompt: true,
        extra: Map::new(),
        now: Timestamp { unix_seconds: 0 },
    }
}

fn run(source: &str) -> Result<usize, TemplateError> {
    let template = ChatTemplate::compile(source, TemplateTokens::default())?;
    template.render(&input()).map(|prompt| prompt.text().len())
}

/// Peak memory of this process so far, in bytes, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn nested(open: &str, middle: &str, close: &str, n: usize) -> String {
    format!("{}{middle}{}", open.repeat(n), close.repeat(n))
}

#[expect(clippy::too_many_lines, reason = "a list, one hostile template a line")]
fn hostile() -> Vec<(&'static str, String)> {
    let loops = |body: &str, n: usize| format!("{{% for i in range({n}) %}}{body}{{% endfor %}}");
    let grow = |body: &str| {
        format!(
            "{{% set ns = namespace(x='aaaaaaaaaa', l=[1], m=[1]) %}}{}{{{{ ns.x|length }}}}",
            loops(body, 10000)
        )
    };
    let doubled = "{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}";
    let shared = |end: &str| {
        format!(
            "{{% set ns = namespace(l=[1], m=[1]) %}}{}{end}",
            loops(doubled, 60)
        )
    };
    let billion = loops(&loops(&loops("x", 1000), 1000), 1000);
    vec![
        ("doubling with ~", grow("{% set ns.x = ns.x ~ ns.x %}")),
        ("doubling with +", grow("{% set ns.x = ns.x + ns.x %}")),
        ("doubling with *", grow("{% set ns.x = ns.x * 10 %}")),
        (
            "doubling in a block",
            grow("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
        ),
        (
            "doubling with join",
            grow("{% set ns.x = ns.x.join([ns.x, ns.x]) %}"),
        ),
        (
            "doubling with replace",
            grow("{% set ns.x = ns.x|replace('a', 'aa') %}"),
        ),
        (
            "doubling with format",
            grow("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"),
        ),
        ("doubling with %", grow("{% set ns.x = '%s%s' % (ns.x, ns.x) %}")),
        (
            "doubling through upper",
            grow("{% set ns.x = (ns.x ~ ns.x)|upper %}"),
        ),
        ("doubling lists", grow("{% set ns.l = ns.l + ns.l %}")),
        ("nesting lists", grow("{% set ns.l = [ns.l] %}")),
        ("nesting dicts", grow("{% set ns.l = {'a': ns.l} %}")),
        (
            "nesting loops in lists",
            grow("{% for i in [ns.l] %}{% set ns.l = [loop] %}{% endfor %}"),
        ),
        ("nesting methods", grow("{% set ns.l = [{'a': ns.l}.get] %}")),
        (
            "a namespace in itself",
            "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}".into(),
        ),
        ("nested by JSON", grow("{% set ns.x = [ns.x]|tojson %}")),
        ("repeating", "{{ 'x' * 10000000000000 }}".into()),
        ("repeating a list", "{{ [1] * 10000000000000 }}".into()),
        (
            "a huge replace",
            "{% set x = 'a' * 30000000 %}{{ x|replace('a', x)|length }}".into(),
        ),
        (
            "replacing nothing",
            "{% set x = 'a' * 20000000 %}{{ x|replace('', x)|length }}".into(),
        ),
        ("padding", "{{ 'x'.center(100000000000) }}".into()),
        ("zeros", "{{ 'x'.zfill(100000000000000000000000) }}".into()),
        ("indenting", "{{ 'x\ny'|indent(100000000000) }}".into()),
        (
            "indented JSON",
            "{{ [[[[1]]]]|tojson(indent=1000000000) }}".into(),
        ),
        (
            "wide JSON",
            "{{ range(100000)|list|tojson(indent=100000) }}".into(),
        ),
        ("batches", "{{ [1]|batch(100000000000, 0) }}".into()),
        ("ranges sorted", loops("{{ range(100000)|sort|length }}", 10000)),
        (
            "unique of a range",
            loops("{{ range(100000)|unique|length }}", 10000),
        ),
        ("in a long list", loops("{{ -1 in range(100000) }}", 10000)),
        (
            "splitting",
            loops("{{ ('a' * 100000).split('a')|length }}", 10000),
        ),
        (
            "searching",
            format!(
                "{{% set x = 'a' * 1000000 %}}{}",
                loops("{{ 'b' in x }}{{ x.count('aa') }}", 10000)
            ),
        ),
        (
            "stripping many characters",
            "{% set x = 'ab' * 1000000 %}{{ x.strip(x) }}{{ x.strip('c' * 1000000 ~ 'ab')|length }}".into(),
        ),
        (
            "a long attribute that no item has",
            "{{ range(100000)|map(attribute='A'*1000000)|list|length }}".into(),
        ),
        (
            "a long attribute that no list has",
            "{% set a = 'A' * 1000000 %}{{ range(100000)|map('attr', a)|list|length }}{{ 1 // 0 }}".into(),
        ),
        (
            "long keys by name",
            loops(&format!("{{{{ dict({}=1)|length }}}}", "k".repeat(250)), 100_000).repeat(4),
        ),
        (
            "numbers from long strings",
            format!(
                "{{% set x = '0' * 1000 * 20000 %}}{}",
                loops("{{ x|int }}{{ x|float }}", 10000)
            ),
        ),
        (
            "the case of a long string",
            format!(
                "{{% set x = '0' * 1000 * 20000 %}}{}",
                loops("{{ x is lower }}{{ x is upper }}", 10000)
            ),
        ),
        (
            "affixes by the thousand",
            format!(
                "{{% set t = 'a' * 1000 * 1000 %}}{}",
                loops("{{ (t ~ 'b').startswith((t[1:] ~ 'c',) * 100000) }}", 1000)
            ),
        ),
        (
            "long needles",
            format!(
                "{{% set t = 'a' * 1000 * 10000 %}}{}",
                loops("{{ t in 'a' }}{{ 'a'.find(t) }}{{ 'a'.replace(t, '') }}", 10000)
            ),
        ),
        ("a long name", format!("{{{{ {} }}}}", "a".repeat(100_000))),
        (
            "fields by the thousand",
            loops(
                &format!(
                    "{{{{ ('{{z}}' * 10000).format({}z=1)|length }}}}",
                    (0..10000).map(|n| format!("a{n}=1,")).collect::<String>()
                ),
                1000,
            ),
        ),
        (
            "characters of a long string",
            "{% set x = 'a' * 1000 * 10000 %}{{ x|list|length }}".into(),
        ),
        (
            "many parts",
            "{% set x = ' a' * 1000 * 10000 %}{{ x.split()|length }}".into(),
        ),
        (
            "many lines",
            "{% set x = '\n' * 1000 * 20000 %}{{ x.splitlines()|length }}".into(),
        ),
        ("a billion steps", billion),
        ("100 MB of output", loops("{{ 'x' * 1000000 }}", 100)),
        (
            "a macro without end",
            "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}".into(),
        ),
        (
            "two macros without end",
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}".into(),
        ),
        (
            "a caller without end",
            "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}".into(),
        ),
        (
            "macros by powers",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}"
                .into(),
        ),
        ("equal by powers", shared("{{ ns.l == ns.m }}")),
        ("ordered by powers", shared("{{ ns.l < ns.m }}")),
        ("printed by powers", shared("{{ ns.l }}")),
        ("JSON by powers", shared("{{ ns.l|tojson }}")),
        ("found by powers", shared("{{ ns.l in [ns.m] }}")),
        ("unique by powers", shared("{{ [ns.l, ns.m]|unique }}")),
        ("joined by powers", shared("{{ ns.l|join }}")),
        ("keys by powers", shared("{{ {ns.l: 1, ns.m: 2} }}")),
        ("powers of numbers", "{{ 10 ** 1000000000 }}".into()),
        ("powers of floats", "{{ 10.0 ** 400 * 0 }}{{ 1 // 0 }}".into()),
        (
            "rounding",
            "{{ 1.5|round(1000000000) }}{{ '%.999999999f' % 1.5 }}{{ 1 // 0 }}".into(),
        ),
        ("brackets", nested("{{ ", &nested("(", "1", ")", 10000), " }}", 1)),
        (
            "lists in lists",
            nested("{{ ", &nested("[", "1", "]", 10000), " }}", 1),
        ),
        (
            "subscripts",
            nested("{{ ", &nested("x[", "1", "]", 10000), " }}", 1),
        ),
        (
            "arguments",
            nested("{{ ", &nested("x(", "1", ")", 10000), " }}", 1),
        ),
        ("nots", format!("{{{{ {} 1 }}}}", "not ".repeat(10000))),
        ("minuses", format!("{{{{ {} 1 }}}}", "-".repeat(10000))),
        ("additions", format!("{{{{ {} 1 }}}}", "1 + ".repeat(10000))),
        ("attributes", format!("{{{{ x{} }}}}", ".a".repeat(10000))),
        ("filters", format!("{{{{ x{} }}}}", "|string".repeat(10000))),
        ("tests", format!("{{{{ x{} }}}}", " is string".repeat(10000))),
        ("choices", format!("{{{{ {} 1 }}}}", "1 if 1 else ".repeat(10000))),
        (
            "choices without else",
            format!("{{{{ 1 {} }}}}", "if 1 ".repeat(10000)),
        ),
        ("ifs", nested("{% if 1 %}", "", "{% endif %}", 10000)),
        (
            "targets",
            format!("{{% set {} = 1 %}}", nested("(", "a", ")", 10000)),
        ),
        ("a long source", "x".repeat(10 << 20)),
        ("nothing closed", "{{ ".repeat(10000)),
    ]
}

#[test]
fn every_hostile_template_ends_with_an_error_in_time_and_memory() {
    let before = peak_memory();
    let mut wrong = Vec::new();
    for (name, source) in hostile() {
        let start = Instant::now();
        let result = run(&source);
        let took = start.elapsed();
        eprintln!("{took:>10.1?} {name}: {result:.100?}");
        // Built for speed, everything here takes well under a second; tests are not, and share the machine.
        if result.is_ok() || took > Duration::from_secs(4) {
            wrong.push((name, took, result));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        eprintln!("peak memory grew by {} MB", (after - before) >> 20);
        assert!(after - before < 256 << 20);
    }
}

#[test]
fn long_but_honest_constructs_are_fine() {
    let elifs = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5000));
    assert_eq!(run(&elifs).unwrap(), 0);
    let concat = format!("{{{{ {} 'a' }}}}", "'a' ~ ".repeat(5000));
    assert_eq!(run(&concat).unwrap(), 5001);
    assert_eq!(run("{% for i in range(100000) %}x{% endfor %}").unwrap(), 100_000);
}

#[test]
fn a_long_conversation_fits() {
    let chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content|trim + '<|im_end|>\\n' }}{% endfor %}";
    let content = "All work and no play makes Jack a dull boy. ".repeat(2500);
    let messages = (0..200)
        .map(|_| json!({"role": "user", "content": content}))
        .collect();
    let template = ChatTemplate::compile(chatml, TemplateTokens::default()).unwrap();
    let start = Instant::now();
    let prompt = template.render(&TemplateInput { messages, ..input() }).unwrap();
    eprintln!("{} bytes in {:?}", prompt.text().len(), start.elapsed());
    assert!(prompt.text().len() > 20_000_000);
}
