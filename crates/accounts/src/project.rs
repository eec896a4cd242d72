//! Projects, and how a request names one.

/// The project that every team has, without anybody creating it.
pub const DEFAULT_PROJECT: &str = "inference";

/// The longest name of a team or project that is looked up.
const MAX_NAME_LEN: usize = 64;

/// A project of a team: what usage is counted under.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Project {
    /// Never changes and is never used again.
    pub id: String,
    /// What people call it; unique in its team.
    pub name: String,
}

/// A project as a request names it: `team/project`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ProjectPath {
    pub(crate) team: String,
    pub(crate) project: String,
}

impl ProjectPath {
    /// `None` where `text` is not two names with one slash between them.
    pub(crate) fn parse(text: &str) -> Option<ProjectPath> {
        let (team, project) = text.split_once('/')?;
        (is_name(team) && is_name(project)).then(|| ProjectPath {
            team: team.to_owned(),
            project: project.to_owned(),
        })
    }
}

/// Names of teams and projects: 1 to 64 ASCII letters, digits, `.`, `_` and `-`, the first a letter or a digit.
pub(crate) fn is_name(text: &str) -> bool {
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= MAX_NAME_LEN
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(is_in_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_two_names_with_one_slash() {
        let path = ProjectPath::parse("acme/chat-bot.v2").unwrap();
        assert_eq!(
            (path.team.as_str(), path.project.as_str()),
            ("acme", "chat-bot.v2")
        );
        let too_long = format!("a/{}", "b".repeat(65));
        for text in [
            "", "/", "a", "a/", "/b", "a/b/c", "a /b", "-a/b", "a/é", "a/b\n", &too_long,
        ] {
            assert_eq!(ProjectPath::parse(text), None, "{text:?}");
        }
    }
}
