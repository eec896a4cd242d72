//! The numbers behind `GET /metrics`, in Prometheus' text format.
//!
//! Labels come from closed sets (routes, served models, statuses), so that nobody outside can make them grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokenmill_inference::{UpstreamStats, Usage};

/// Upper edges in seconds, for whole requests and for the time to the first text.
const REQUEST_BUCKETS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Upper edges in seconds, for the time between two pieces of text.
const BETWEEN_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// How much one more request moves the mean duration.
const MEAN_WEIGHT: f64 = 0.1;

/// Everything counted since the start.
pub(crate) struct Metrics {
    in_flight: AtomicI64,
    /// By route, model (empty where none) and status.
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
    models: BTreeMap<String, ModelMetrics>,
}

struct ModelMetrics {
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    duration: Histogram,
    first_text: Histogram,
    between_texts: Histogram,
    /// Moving mean over answered requests; `None` before the first.
    mean_duration_s: Mutex<Option<f64>>,
}

impl Metrics {
    /// For these served models.
    pub(crate) fn new<'a>(models: impl Iterator<Item = &'a str>) -> Metrics {
        let entry = |name: &str| (name.to_owned(), ModelMetrics::new());
        Metrics {
            in_flight: AtomicI64::new(0),
            requests: Mutex::new(BTreeMap::new()),
            models: models.map(entry).collect(),
        }
    }

    pub(crate) fn request_arrived(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn request_closed(&self, route: &str, model: Option<&str>, status: u16, duration_s: f64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let key = (route.to_owned(), model.unwrap_or_default().to_owned(), status);
        *self
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_default() += 1;
        // Refusals are quick and would make the wait for a place look short.
        if let Some(of) = model
            .and_then(|model| self.models.get(model))
            .filter(|_| status == 200)
        {
            of.duration.observe(duration_s);
            let mut mean = of.mean_duration_s.lock().unwrap_or_else(PoisonError::into_inner);
            *mean = Some(mean.map_or(duration_s, |mean| mean + MEAN_WEIGHT * (duration_s - mean)));
        }
    }

    /// How long an answer of this model takes of late; `None` before the first.
    pub(crate) fn mean_duration_s(&self, model: &str) -> Option<f64> {
        *self
            .models
            .get(model)?
            .mean_duration_s
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tokens(&self, model: &str, usage: &Usage) {
        if let Some(of) = self.models.get(model) {
            of.prompt_tokens.fetch_add(usage.n_prompt, Ordering::Relaxed);
            of.cached_tokens
                .fetch_add(usage.n_cached.unwrap_or(0), Ordering::Relaxed);
            of.completion_tokens
                .fetch_add(usage.n_completion, Ordering::Relaxed);
        }
    }

    pub(crate) fn first_text(&self, model: &str, seconds: f64) {
        if let Some(of) = self.models.get(model) {
            of.first_text.observe(seconds);
        }
    }

    pub(crate) fn between_texts(&self, model: &str, seconds: f64) {
        if let Some(of) = self.models.get(model) {
            of.between_texts.observe(seconds);
        }
    }

    /// The page, with what the upstreams say of themselves.
    pub(crate) fn render(&self, upstreams: &[(&str, UpstreamStats)]) -> String {
        let mut page = Page(String::new());
        page.head(
            "tokenmill_http_requests_in_flight",
            "gauge",
            "Requests whose last byte has not gone out.",
        );
        page.line(
            "tokenmill_http_requests_in_flight",
            "",
            self.in_flight.load(Ordering::Relaxed) as f64,
        );
        let name = "tokenmill_http_requests_total";
        page.head(
            name,
            "counter",
            "Requests over, by status; 499: the caller left first.",
        );
        for ((route, model, status), n) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            let model = escape(model);
            let labels = format!(
                "route=\"{}\",model=\"{model}\",status=\"{status}\"",
                escape(route)
            );
            page.line(name, &labels, *n as f64);
        }
        self.render_tokens(&mut page);
        self.render_times(&mut page);
        render_upstreams(upstreams, &mut page);
        page.0
    }

    fn render_tokens(&self, page: &mut Page) {
        type Count = fn(&ModelMetrics) -> &AtomicU64;
        let counters: [(&str, &str, Count); 3] = [
            (
                "tokenmill_prompt_tokens_total",
                "Prompt tokens of complete answers.",
                |of| &of.prompt_tokens,
            ),
            (
                "tokenmill_cached_prompt_tokens_total",
                "Of these, from the prefix cache.",
                |of| &of.cached_tokens,
            ),
            (
                "tokenmill_completion_tokens_total",
                "Tokens of complete answers.",
                |of| &of.completion_tokens,
            ),
        ];
        for (name, help, count) in counters {
            page.head(name, "counter", help);
            for (model, of) in &self.models {
                page.line(
                    name,
                    &model_label(model),
                    count(of).load(Ordering::Relaxed) as f64,
                );
            }
        }
    }

    fn render_times(&self, page: &mut Page) {
        type Times = fn(&ModelMetrics) -> &Histogram;
        let histograms: [(&str, &str, Times); 3] = [
            (
                "tokenmill_request_duration_seconds",
                "From arrival to the last byte.",
                |of| &of.duration,
            ),
            (
                "tokenmill_time_to_first_text_seconds",
                "From arrival to the first text.",
                |of| &of.first_text,
            ),
            (
                "tokenmill_time_between_texts_seconds",
                "Between texts of one choice.",
                |of| &of.between_texts,
            ),
        ];
        for (name, help, times) in histograms {
            page.head(name, "histogram", help);
            for (model, of) in &self.models {
                times(of).render(name, &model_label(model), page);
            }
        }
    }
}

/// A number of an upstream: name, kind, help, and where it stands.
type Number = (
    &'static str,
    &'static str,
    &'static str,
    fn(&UpstreamStats) -> u64,
);

/// Every number of an upstream.
const UPSTREAM_NUMBERS: &[Number] = &[
    (
        "tokenmill_engine_running",
        "gauge",
        "Sequences being computed.",
        |of| of.n_running,
    ),
    (
        "tokenmill_engine_waiting",
        "gauge",
        "Sequences that wait for a place.",
        |of| of.n_waiting,
    ),
    (
        "tokenmill_engine_pages_used",
        "gauge",
        "KV pages of running sequences.",
        |of| of.n_pages_used,
    ),
    (
        "tokenmill_engine_pages_cached",
        "gauge",
        "KV pages that only cache prefixes.",
        |of| of.n_pages_cached,
    ),
    (
        "tokenmill_engine_pages_free",
        "gauge",
        "KV pages that hold nothing.",
        |of| of.n_pages_free,
    ),
    (
        "tokenmill_engine_steps_total",
        "counter",
        "Forward passes.",
        |of| of.n_steps,
    ),
    (
        "tokenmill_engine_prompt_tokens_total",
        "counter",
        "Prompt tokens computed.",
        |of| of.n_prompt_tokens,
    ),
    (
        "tokenmill_engine_cached_tokens_total",
        "counter",
        "Prompt tokens not computed again.",
        |of| of.n_cached_tokens,
    ),
    (
        "tokenmill_engine_generated_tokens_total",
        "counter",
        "Tokens generated.",
        |of| of.n_generated_tokens,
    ),
];

fn render_upstreams(upstreams: &[(&str, UpstreamStats)], page: &mut Page) {
    for (name, kind, help, number) in UPSTREAM_NUMBERS {
        page.head(name, kind, help);
        for (model, stats) in upstreams {
            page.line(name, &model_label(model), number(stats) as f64);
        }
    }
}

impl ModelMetrics {
    fn new() -> ModelMetrics {
        ModelMetrics {
            prompt_tokens: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            duration: Histogram::new(REQUEST_BUCKETS),
            first_text: Histogram::new(REQUEST_BUCKETS),
            between_texts: Histogram::new(BETWEEN_BUCKETS),
            mean_duration_s: Mutex::new(None),
        }
    }
}

/// Counts per bucket, not cumulative; the page adds them up.
struct Histogram {
    edges_s: &'static [f64],
    /// One more than edges: the last is for everything over them.
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
}

impl Histogram {
    fn new(edges_s: &'static [f64]) -> Histogram {
        let counts = (0..=edges_s.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram {
            edges_s,
            counts,
            sum_ns: AtomicU64::new(0),
        }
    }

    fn observe(&self, seconds: f64) {
        let bucket = self.edges_s.partition_point(|edge| *edge < seconds);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    fn render(&self, name: &str, labels: &str, page: &mut Page) {
        let mut total = 0;
        for (idx, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let edge = self.edges_s.get(idx).map_or("+Inf".to_owned(), f64::to_string);
            page.line(
                &format!("{name}_bucket"),
                &format!("{labels},le=\"{edge}\""),
                total as f64,
            );
        }
        page.line(
            &format!("{name}_sum"),
            labels,
            self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
        );
        page.line(&format!("{name}_count"), labels, total as f64);
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }
}

fn model_label(model: &str) -> String {
    format!("model=\"{}\"", escape(model))
}

fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_once_and_adds_up() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for seconds in [0.5, 1.0, 1.5, 9.0] {
            histogram.observe(seconds);
        }
        let mut page = Page(String::new());
        histogram.render("t", "model=\"m\"", &mut page);
        let expected = "t_bucket{model=\"m\",le=\"1\"} 2\nt_bucket{model=\"m\",le=\"2\"} 3\n\
                        t_bucket{model=\"m\",le=\"+Inf\"} 4\nt_sum{model=\"m\"} 12\nt_count{model=\"m\"} 4\n";
        assert_eq!(page.0, expected);
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let metrics = Metrics::new(std::iter::once("a\"} 1\nevil 2"));
        assert!(metrics.render(&[]).lines().all(|line| !line.starts_with("evil")));
    }

    #[test]
    fn the_mean_moves_with_answers_and_not_with_refusals() {
        let metrics = Metrics::new(std::iter::once("m"));
        assert_eq!(metrics.mean_duration_s("m"), None);
        metrics.request_closed("/x", Some("m"), 429, 0.001);
        assert_eq!(metrics.mean_duration_s("m"), None);
        metrics.request_closed("/x", Some("m"), 200, 2.0);
        metrics.request_closed("/x", Some("m"), 200, 4.0);
        assert_eq!(metrics.mean_duration_s("m"), Some(2.0 + MEAN_WEIGHT * 2.0));
    }
}
