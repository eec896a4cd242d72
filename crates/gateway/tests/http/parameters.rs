//! Every row of every endpoint's table, proved by real requests with the row's own examples.

use serde_json::{Value, json};
use tokenmill_gateway::{Parameter, ROUTES, Route, Rule};

use crate::client::{Call, Reply};
use crate::scripted::Scripted;
use crate::server::TestServer;

/// The route's example with one field more.
fn body(route: &Route, row: &Parameter, value: &Value) -> Value {
    let example = route.example.unwrap_or("{}").replace("MODEL", "test/model");
    let mut body: Value = serde_json::from_str(&example).expect("the example is JSON");
    if row.name == "stream_options" {
        body["stream"] = json!(true);
    }
    if row.name == "prompt" {
        // One stands in the place of the other.
        body.as_object_mut().expect("an object").remove("messages");
    }
    body[row.name] = value.clone();
    body
}

fn values(text: &str, row: &Parameter) -> Vec<Value> {
    let text = text.replace("MODEL", "test/model");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error} in {text}", row.name))
}

async fn ask(server: &TestServer, route: &Route, body: &Value) -> Reply {
    Call::post(route.path, body)
        .key(&server.key)
        .send(server.at)
        .await
}

fn rows() -> impl Iterator<Item = (&'static Route, &'static Parameter)> {
    let of_route = |route: &'static Route| route.parameters.iter().flat_map(|group| group.iter());
    ROUTES
        .iter()
        .flat_map(move |route| of_route(route).map(move |row| (route, row)))
}

#[tokio::test]
async fn every_example_of_every_row_is_taken_or_refused_by_name() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for (route, row) in rows() {
        let place = format!("{} {}", route.path, row.name);
        let taken = values(row.taken, row);
        assert_eq!(taken.is_empty(), row.rule == Rule::Refused, "{place}");
        for value in taken {
            let reply = ask(&server, route, &body(route, row, &value)).await;
            assert_eq!(reply.status, 200, "{place} {value}: {}", reply.text());
        }
        let refused = values(row.refused, row);
        assert!(!refused.is_empty(), "{place} refuses nothing");
        for value in refused {
            let reply = ask(&server, route, &body(route, row, &value)).await;
            assert!(
                matches!(reply.status, 400 | 404),
                "{place} {value}: {}",
                reply.text()
            );
            assert!(
                reply.text().contains(row.name),
                "{place} {value}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn null_is_absent_in_every_row() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for (route, row) in rows().filter(|(_, row)| row.default != "required") {
        let reply = ask(&server, route, &body(route, row, &Value::Null)).await;
        assert_eq!(reply.status, 200, "{} {}: {}", route.path, row.name, reply.text());
    }
}

#[test]
fn the_rows_are_well_formed() {
    for route in ROUTES {
        let mut names: Vec<&str> = route
            .parameters
            .iter()
            .flat_map(|group| group.iter())
            .map(|row| row.name)
            .collect();
        let n_rows = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n_rows, "{} has a row twice", route.path);
        assert_eq!(route.example.is_some(), n_rows > 0, "{}", route.path);
    }
    for (_, row) in rows() {
        let schema: Value =
            serde_json::from_str(row.schema).unwrap_or_else(|error| panic!("{}: {error}", row.name));
        assert!(schema.is_object(), "{}", row.name);
        // Of a refused one the line says why, or what to use: it is in the error as well.
        assert!(!row.about.is_empty() && !row.about.contains('|'), "{}", row.name);
    }
}

/// What `ChatCompletionRequest` of vLLM knows (`vllm/entrypoints/openai/chat_completion/protocol.py`, 2026), and some that
/// it knew before. OpenAI's are held against the official package by `tests/sdk/python/test_parameters.py`.
const VLLM: &str = "messages model frequency_penalty logit_bias logprobs top_logprobs max_tokens max_completion_tokens n \
    presence_penalty response_format seed stop stream stream_options temperature top_p tools tool_choice reasoning_effort \
    thinking_token_budget include_reasoning parallel_tool_calls user use_beam_search top_k min_p repetition_penalty \
    watermarking length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens skip_special_tokens \
    spaces_between_special_tokens truncate_prompt_tokens truncation_side prompt_logprobs logprob_token_ids \
    allowed_token_ids bad_words echo add_generation_prompt continue_final_message add_special_tokens documents \
    chat_template chat_template_kwargs media_io_kwargs mm_processor_kwargs structured_outputs priority request_id \
    session_id return_tokens_as_token_ids return_token_ids routed_experts_prompt_start return_token_offsets \
    return_prompt_text return_mm_kwargs cache_salt kv_transfer_params ec_transfer_params vllm_xargs \
    repetition_detection stream_interval best_of detokenize guided_json guided_regex guided_choice guided_grammar \
    guided_decoding_backend guided_whitespace_pattern structural_tag logits_processors";

#[test]
fn every_parameter_of_vllm_has_a_row() {
    let chat = ROUTES
        .iter()
        .find(|route| route.path == crate::server::CHAT)
        .expect("chat");
    let has_row = |name: &str| {
        let mut rows = chat.parameters.iter().flat_map(|group| group.iter());
        rows.any(|row| row.name == name)
    };
    let missing: Vec<&str> = VLLM.split_whitespace().filter(|name| !has_row(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
