//! Teams and the people in them.

/// A team: who pays, and who may use its projects.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Team {
    /// Never changes and is never used again.
    pub id: String,
    /// What people call it; unique.
    pub name: String,
}

/// A person: keys belong to people.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Person {
    /// Never changes and is never used again.
    pub id: String,
    /// What people call them; unique.
    pub name: String,
}
