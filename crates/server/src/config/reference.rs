//! The example config file and the reference page, written from the list of options.

use std::fmt::Write;

use super::{Config, OPTIONS, Opt, catalogue, oidc};

/// The widest line of prose in the example file.
const WIDTH: usize = 100;

/// What the file may say of models.
const CATALOGUE: &str = "\
What is said of each model, and what it costs. Only `id` is needed. It is put into the catalogue when `tokenmill serve` starts, as a new version where something has changed.

The file has the last word about the models that it lists: `PUT /api/v1/models` refuses them, and where the file has a price, \
setting one by API or command is refused, too. A model that is taken out of the file stays as it was, and can be changed again. \
Servers that share a database need the same list: the one of the last to start holds.";

/// What the file may say of identity providers.
const PROVIDERS: &str = "\
With whom people may sign in to the console besides a password; may be repeated. `id`, `issuer` and `client_id` are needed, and \
`gateway.public_url`. The secret is given as `client_secret`, in a file, or in the variable that `client_secret_env` names. \
`new_people` is `refused` unless it is `join`, with a team and a role. The page about sign-in has the whole story.";

/// A config file in which every option stands with its default, commented out.
pub(crate) fn example_file() -> String {
    let mut text = String::from(
        "# Tokenmill's options, each with its default. Use with `tokenmill serve --config FILE`.\n\
         # A flag beats the environment variable, and that beats this file.\n",
    );
    let mut section = None;
    for option in OPTIONS {
        if option.section() != section {
            section = option.section();
            let _ = write!(text, "\n[{}]\n", section.unwrap_or_default());
        }
        text.push('\n');
        for paragraph in option.help.split("\n\n") {
            wrap(&mut text, "# ", paragraph);
        }
        let name = option.key.split_once('.').map_or(option.key, |(_, name)| name);
        let _ = writeln!(text, "# {name} = {}", shown_default(option));
    }
    for (about, example) in [(CATALOGUE, catalogue::EXAMPLE), (PROVIDERS, oidc::EXAMPLE)] {
        text.push('\n');
        for paragraph in about.split("\n\n") {
            wrap(&mut text, "# ", &paragraph.replace('`', ""));
        }
        for line in example.lines() {
            let _ = writeln!(text, "{}", format!("# {line}").trim_end());
        }
    }
    text
}

/// The page of the user guide that lists every option.
pub(crate) fn reference_page() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Nothing has to be configured. What can be is listed here, and `tokenmill config` prints it as a commented file\n\
         to begin with. An option is taken from the first of these that has it:\n\n\
         1. the flag,\n\
         2. the environment variable,\n\
         3. the TOML file named by `--config FILE` or `TOKENMILL_CONFIG`,\n\
         4. the default.\n\n\
         A key of the file that is no option is an error that names the line, and so is a value out of range.\n\
         Bytes are written as `1048576` or `\"1 MiB\"`, times as `90` (seconds), `\"90s\"` or `\"1m 30s\"`.\n",
    );
    let mut section = Some("");
    for option in OPTIONS {
        if option.section() != section {
            section = option.section();
            let heading = section.map_or("General".to_owned(), |section| format!("`[{section}]`"));
            let _ = write!(text, "\n## {heading}\n");
        }
        let _ = write!(text, "\n### `{}`\n\n", option.key);
        for paragraph in option.help.split("\n\n") {
            let stop = if paragraph.ends_with('.') { "" } else { "." };
            let _ = write!(text, "{paragraph}{stop}\n\n");
        }
        let _ = writeln!(text, "- flag: `--{} {}`", option.flag, option.value_name);
        let _ = writeln!(text, "- variable: `{}`", option.variable());
        let _ = writeln!(text, "- value: {}", option.setting.form());
        let _ = writeln!(text, "- default: `{}`", shown_default(option));
    }
    let _ = write!(
        text,
        "\n## `[[catalogue]]`\n\n{CATALOGUE}\n\n```toml\n{}```\n\n## `[[oidc]]`\n\n{PROVIDERS}\n\n```toml\n{}```\n",
        catalogue::EXAMPLE,
        oidc::EXAMPLE
    );
    text
}

/// The default, the same on every machine.
fn shown_default(option: &Opt) -> String {
    let data_dir = "~/.local/share/tokenmill".into();
    option.setting.show(&Config {
        data_dir,
        ..Config::default()
    })
}

fn wrap(text: &mut String, indent: &str, paragraph: &str) {
    let mut line = String::new();
    for word in paragraph.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{indent}{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Fails when a file does not say what the definitions say; with `TOKENMILL_UPDATE` set it writes the file instead.
    fn check_file(path: &str, expected: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        if std::env::var_os("TOKENMILL_UPDATE").is_some() {
            std::fs::write(&path, expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{} is out of date; `TOKENMILL_UPDATE=1 cargo test -p tokenmill` writes it",
            path.display()
        );
    }

    #[test]
    fn the_example_file_is_up_to_date() {
        check_file("docs/tokenmill.example.toml", &example_file());
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        check_file("docs/configuration.md", &reference_page());
    }

    #[test]
    fn the_example_file_is_taken_with_every_line_uncommented() {
        let lines = example_file();
        let options = lines.lines().filter_map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') && rest.ends_with(']') => Some(rest),
            Some(rest) if rest.split(" = ").count() == 2 && !rest.contains(". ") => Some(rest),
            Some(_) => None,
            None => Some(line),
        });
        let text: Vec<_> = options.collect();
        let mut config = Config::default();
        assert!(
            super::super::file::apply(&mut config, &text.join("\n")).is_ok(),
            "{}",
            text.join("\n")
        );
        assert!(text.len() > OPTIONS.len());
    }
}
