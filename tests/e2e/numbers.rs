//! JSON numbers keep their digits wherever they go; on standard output TOML has its own words for the odd floats.

use crate::common::Lab;

const FLOW: &str = r#"
[workflow]
name = "numbers"
[inputs]
j = "json"
[tasks.copy]
cache = true
cache_version = "1"
inputs = { j = "json", text = "string", part = "json", list = "json" }
outputs = { j = "json", seen = "string", text = "string", part = "json", list = "json", given = "json" }
run = '''
echo x >> "@COUNT@"
printf %s "$j" > "$OUT/j"
printf %s "$j" > "$OUT/seen"
printf %s "$text" > "$OUT/text"
printf %s "$part" > "$OUT/part"
printf %s "$list" > "$OUT/list"
cp "$RUNNER_INPUTS" "$OUT/given"
'''
[nodes.copy]
inputs = { j = "{{ inputs.j }}", text = "<{{ inputs.j.big }}>", part = "{{ inputs.j.big }}", list = ["{{ inputs.j.big }}", 1] }
[outputs]
j = "{{ copy.j }}"
seen = "{{ copy.seen }}"
text = "{{ copy.text }}"
part = "{{ copy.part }}"
list = "{{ copy.list }}"
given = "{{ copy.given }}"
"#;

#[test]
fn digits_survive_key_templates_tasks_and_outputs() {
    let lab = Lab::new();
    lab.write("w.toml", FLOW);
    let numbers = [
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "-9223372036854775809",
        "123456789012345678901234567890123456789012345678901234567890",
        "3.14159265358979323846264338327950288",
        "1e+400",
    ];
    for number in numbers {
        let arg = format!("j={{\"big\":{number}}}");
        let done = lab.ok("w.toml", &["-i", &arg]);
        assert_eq!(done.cache("copy"), "populated", "{number}");
        // As text: a JSON library would round.
        for field in [
            format!(r#""j":{{"big":{number}}}"#),
            format!(r#""seen":"{{\"big\":{number}}}""#),
            format!(r#""text":"<{number}>""#),
            format!(r#""part":{number}"#),
            format!(r#""list":[{number},1]"#),
        ] {
            assert!(done.out.contains(&field), "{field} is missing in\n{}", done.out);
        }
        // Read back from the records.
        let hit = lab.ok("w.toml", &["-i", &arg]);
        assert_eq!(hit.cache("copy"), "hit");
        assert!(hit.out.contains(&format!(r#""part":{number}"#)));
        let toml = lab.run(&["exec", "w.toml", "-i", &arg]).expect_code(0).out;
        assert!(toml.contains(&format!("part = \"{number}\"")), "{toml}");
        let again = lab.run(&["rerun", "@last", "--json"]).expect_code(0);
        assert_eq!(again.cache("copy"), "hit");
    }
    assert_eq!(lab.ran(), numbers.len());
}

#[test]
fn equal_numbers_written_differently_are_one_value() {
    let lab = Lab::new();
    lab.write("w.toml", FLOW);
    for (j, status) in [
        (r#"{"big": 1.0}"#, "populated"),
        (r#"{"big": 1.00}"#, "hit"),
        (r#"{"big": 10e-1}"#, "hit"),
        (r#"{"big": 1}"#, "populated"),
        (r#"{"big": 1e2}"#, "populated"),
        (r#"{"big": 100.0}"#, "hit"),
    ] {
        assert_eq!(lab.ok("w.toml", &["-i", &format!("j={j}")]).cache("copy"), status, "{j}");
    }
}

#[test]
fn expressions_compute_with_whole_numbers_of_128_bits() {
    let lab = Lab::new();
    let text = FLOW
        .replace(
            "<{{ inputs.j.big }}>",
            "{{ inputs.j.big + 1 }} {{ inputs.j | tojson }} {{ inputs.j.big > 7 }}",
        )
        .replace("part = \"{{ inputs.j.big }}\"", "part = \"{{ coalesce(inputs.j.big, 0) }}\"");
    lab.write("w.toml", &text);
    let done = lab.ok("w.toml", &["-i", r#"j={"big":18446744073709551616}"#]);
    let expected = r#""text":"18446744073709551617 {\"big\":18446744073709551616} true""#;
    assert!(done.out.contains(expected), "{}", done.out);
    assert!(done.out.contains(r#""part":18446744073709551616"#), "{}", done.out);
}

#[test]
fn toml_has_its_own_nan_and_inf() {
    let lab = Lab::new();
    lab.write(
        "w.toml",
        "[workflow]\nname = \"w\"\n[inputs]\nxs = { type = \"list<float>\", default = [nan, inf, -inf, 1.0] }\n\
         [tasks.t]\ninputs = { xs = \"list<float>\" }\noutputs = { ys = \"map<float>\" }\n\
         run = 'echo \"{\\\"a\\\": \\\"inf\\\", \\\"b\\\": 2}\" > \"$OUT/ys\"'\n\
         [nodes.t]\ninputs = { xs = \"{{ inputs.xs }}\" }\n\
         [outputs]\nxs = \"{{ inputs.xs }}\"\nys = \"{{ t.ys }}\"\n",
    );
    let done = lab.run(&["exec", "w.toml"]).expect_code(0);
    assert_eq!(done.out, "xs = [nan, inf, -inf, 1.0]\nys = { a = inf, b = 2.0 }\n");
    lab.write("given.toml", "xs = [nan, inf]\n");
    let done = lab.run(&["exec", "w.toml", "--inputs", "given.toml"]).expect_code(0);
    assert!(done.out.starts_with("xs = [nan, inf]\n"), "{}", done.out);
}

#[test]
fn an_object_that_looks_like_a_number_of_the_library_is_refused() {
    let lab = Lab::new();
    lab.write("w.toml", FLOW);
    let given = r#"j={"big":{"$serde_json::private::Number":"1"}}"#;
    let done = lab.run(&["exec", "w.toml", "-i", given]).expect_code(2);
    assert!(done.err.contains("cannot be a value"), "{}", done.err);
}
