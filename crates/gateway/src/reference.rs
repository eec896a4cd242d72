//! What the service says of itself, made from [`ROUTES`] and the tables of parameters, so that it cannot drift.

use std::fmt::Write;

use crate::endpoints::ROUTES;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The page of all parameters, `docs/parameters.md`.
#[must_use]
pub fn parameters_page() -> String {
    let mut page = String::from(
        "<!-- Made from the tables in crates/gateway/src/parameters; \
         `TOKENMILL_UPDATE=1 cargo test -p tokenmill-gateway` writes it. -->\n\n\
         # Parameters\n\n\
         Every parameter is **applied**, taken **without effect** (its value is still checked), or **refused** with its name. \
         A parameter that is not here is unknown, and refused as well. `null` is the same as leaving a parameter out.\n",
    );
    for route in ROUTES.iter().filter(|route| !route.parameters.is_empty()) {
        let _ = write!(
            page,
            "\n## `{} {}`\n\n{}.\n",
            route.method, route.path, route.summary
        );
        table(&mut page, route.parameters, Rule::Applied);
        table(&mut page, route.parameters, Rule::WithoutEffect);
        table(&mut page, route.parameters, Rule::Refused);
    }
    page
}

fn table(page: &mut String, groups: &[Group], rule: Rule) {
    let rows: Vec<&Parameter> = groups
        .iter()
        .flat_map(|group| group.iter())
        .filter(|row| row.rule == rule)
        .collect();
    if rows.is_empty() {
        return;
    }
    page.push_str(match rule {
        Rule::Applied => "\n| applied | of | what it does | without it |\n|---|---|---|---|\n",
        Rule::WithoutEffect => "\n| without effect | of | what is taken |\n|---|---|---|\n",
        Rule::Refused => "\n| refused | of | |\n|---|---|---|\n",
    });
    for row in rows {
        let _ = write!(
            page,
            "| `{}` | {} | {} |",
            row.name,
            origin(row.origin),
            row.about
        );
        if rule == Rule::Applied {
            let _ = write!(page, " {} |", row.default);
        }
        page.push('\n');
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::OpenAi => "OpenAI",
        Origin::Vllm => "vLLM",
        Origin::Anthropic => "Anthropic",
        Origin::Own => "Tokenmill",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_page_of_parameters_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parameters.md");
        let expected = parameters_page();
        if std::env::var_os("TOKENMILL_UPDATE").is_some() {
            std::fs::write(&path, &expected).expect("writable");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/parameters.md is out of date; `TOKENMILL_UPDATE=1 cargo test -p tokenmill-gateway` writes it"
        );
    }
}
