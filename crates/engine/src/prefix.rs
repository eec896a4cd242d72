//! The prefix cache: which pages hold the keys and values of which tokens, so that prompts that begin alike share.
//!
//! A tree for each scope, one page a node: a node's path from the root spells the tokens before and in its page. Full
//! pages are shared as they are. The last, partly filled page of a finished sequence becomes a leaf as well; it is
//! never shared but copied, since whoever continues it writes to it. A sequence holds all pages on its path, so what
//! nobody holds are whole branches, and these are given up leaf by leaf, least recently used first.

use crate::pages::Pages;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use tokenmill_kernels::kv_cache::{PAGE_TOKENS, PageId};

pub(crate) type NodeId = usize;
/// Sorted by tokens, so the child that shares most with some tokens stands beside the place of these.
type Children = BTreeMap<Box<[u32]>, NodeId>;

/// What pages must have in common to be shared, beside their tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    /// As the submission gives it.
    pub(crate) circle: [u8; 32],
    /// The adapter that they were computed with.
    pub(crate) adapter: Option<[u8; 32]>,
}

/// The pages and what is known about their content.
pub(crate) struct PrefixCache {
    pages: Pages,
    enabled: bool,
    roots: HashMap<Scope, Children>,
    nodes: Vec<Option<Node>>,
    unused: Vec<NodeId>,
    /// Leaves that no sequence holds, by when one last did.
    evictable: BTreeSet<(u64, NodeId)>,
    /// Nodes that no sequence holds.
    n_idle: usize,
    /// Counts uses; stands in for a clock.
    tick: u64,
}

struct Node {
    scope: Scope,
    parent: Option<NodeId>,
    page: PageId,
    /// As many as the page is filled with; below 64 only in leaves.
    tokens: Box<[u32]>,
    children: Children,
    last_used: u64,
}

/// Pages that fit the beginning of some tokens, deepest last.
#[derive(Default)]
pub(crate) struct Match {
    /// Full pages to share.
    pub(crate) nodes: Vec<NodeId>,
    /// A page to copy from, and how many of its tokens.
    pub(crate) partial: Option<(NodeId, usize)>,
}

impl PrefixCache {
    pub(crate) fn new(n_pages: usize, enabled: bool) -> PrefixCache {
        PrefixCache {
            pages: Pages::new(n_pages),
            enabled,
            roots: HashMap::new(),
            nodes: Vec::new(),
            unused: Vec::new(),
            evictable: BTreeSet::new(),
            n_idle: 0,
            tick: 0,
        }
    }

    /// Whether pages are shared at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn n_pages(&self) -> usize {
        self.pages.n_pages()
    }

    pub(crate) fn n_free(&self) -> usize {
        self.pages.n_free()
    }

    /// Pages kept only in case somebody asks for their tokens again.
    pub(crate) fn n_idle(&self) -> usize {
        self.n_idle
    }

    /// Pages that [`PrefixCache::allocate`] can give.
    pub(crate) fn n_available(&self) -> usize {
        self.n_free() + self.n_idle
    }

    pub(crate) fn page(&self, node: NodeId) -> PageId {
        self.node(node).page
    }

    /// How many of these nodes no sequence holds: sharing them takes as many from [`PrefixCache::n_available`].
    pub(crate) fn count_idle(&self, nodes: &[NodeId]) -> usize {
        nodes.iter().filter(|&&node| self.is_idle(node)).count()
    }

    /// The longest known beginning of `tokens`, all of it usable.
    pub(crate) fn find(&self, scope: &Scope, tokens: &[u32]) -> Match {
        let mut found = Match::default();
        let Some(mut children) = self.roots.get(scope) else {
            return found;
        };
        let mut rest = tokens;
        while let Some((page, after)) = rest.split_at_checked(PAGE_TOKENS)
            && let Some(&node) = children.get(page)
        {
            found.nodes.push(node);
            children = &self.node(node).children;
            rest = after;
        }
        found.partial = longest_common(children, rest);
        found
    }

    /// The node that follows `parent` with exactly these 64 tokens.
    pub(crate) fn find_next(&self, scope: &Scope, parent: Option<NodeId>, page: &[u32]) -> Option<NodeId> {
        self.children(scope, parent)?.get(page).copied()
    }

    /// Shares a node's page with one more sequence.
    pub(crate) fn hold(&mut self, node: NodeId) -> PageId {
        if self.is_idle(node) {
            self.n_idle -= 1;
            let last_used = self.node(node).last_used;
            self.evictable.remove(&(last_used, node));
        }
        let page = self.node(node).page;
        self.pages.hold(page);
        page
    }

    /// A page for one sequence alone: a free one, else the least recently used that nobody holds. `keep` is a node
    /// that must stay because it is about to be copied from.
    pub(crate) fn allocate(&mut self, keep: Option<NodeId>) -> Option<PageId> {
        if self.pages.n_free() == 0 {
            let victim = self
                .evictable
                .iter()
                .map(|&(_, node)| node)
                .find(|&node| Some(node) != keep)?;
            self.remove(victim);
        }
        self.pages.allocate()
    }

    /// Gives back a sequence's pages: those of its own, and those on the path to `tip`.
    pub(crate) fn release(&mut self, own: &[PageId], tip: Option<NodeId>) {
        for &page in own {
            self.pages.release(page);
        }
        self.tick += 1;
        let mut next = tip;
        while let Some(node) = next {
            let tick = self.tick;
            self.node_mut(node).last_used = tick;
            next = self.node(node).parent;
            let page = self.node(node).page;
            if self.pages.release(page) == 1 {
                self.n_idle += 1;
                self.note_if_evictable(node);
            }
        }
    }

    /// Makes a sequence's full page known as the one that follows `parent`. The page to go on with is the returned
    /// node's: if another sequence was first, its page, which holds the same bits, is shared and this one is freed.
    pub(crate) fn insert(
        &mut self,
        scope: &Scope,
        parent: Option<NodeId>,
        tokens: &[u32],
        page: PageId,
    ) -> Option<NodeId> {
        if !self.enabled {
            return None;
        }
        debug_assert_eq!(tokens.len(), PAGE_TOKENS, "only full pages are shared");
        if let Some(known) = self.find_next(scope, parent, tokens) {
            self.hold(known);
            self.pages.release(page);
            return Some(known);
        }
        self.remove_beginning(scope, parent, tokens);
        self.pages.hold(page);
        Some(self.add_node(scope, parent, tokens, page))
    }

    /// Takes over a page of which a sequence filled only the beginning, with `tokens`, as a leaf to copy from.
    pub(crate) fn give(&mut self, scope: &Scope, parent: Option<NodeId>, tokens: &[u32], page: PageId) {
        let known = self
            .children(scope, parent)
            .and_then(|children| longest_common(children, tokens));
        let is_known = known.is_some_and(|(_, n_common)| n_common == tokens.len());
        if !self.enabled || is_known {
            self.pages.release(page);
            return;
        }
        self.remove_beginning(scope, parent, tokens);
        let node = self.add_node(scope, parent, tokens, page);
        self.n_idle += 1;
        self.note_if_evictable(node);
    }

    /// Recounts everything. `n_held` is how many sequences hold each page.
    pub(crate) fn check(&self, n_held: &[u32]) -> Result<(), String> {
        let mut n_holders = n_held.to_vec();
        let mut n_idle = 0;
        let mut evictable = BTreeSet::new();
        for (id, node) in self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(id, node)| Some((id, node.as_ref()?)))
        {
            let page = node.page as usize;
            if n_holders[page] > n_held[page] {
                return Err(format!("two nodes of the prefix cache have page {page}"));
            }
            n_holders[page] += 1;
            if self.find_next(&node.scope, node.parent, &node.tokens) != Some(id) {
                return Err(format!("node {id} of the prefix cache is not its parent's child"));
            }
            if node.tokens.len() < PAGE_TOKENS && (n_held[page] > 0 || !node.children.is_empty()) {
                return Err(format!(
                    "node {id} of the prefix cache is partial, yet held or continued"
                ));
            }
            if n_held[page] == 0 {
                n_idle += 1;
                if node.children.is_empty() {
                    evictable.insert((node.last_used, id));
                }
            } else if let Some(parent) = node.parent
                && n_held[self.node(parent).page as usize] == 0
            {
                return Err(format!(
                    "node {id} of the prefix cache is held, but its parent {parent} is not"
                ));
            }
        }
        if n_idle != self.n_idle || evictable != self.evictable {
            return Err(format!(
                "the prefix cache counts {} idle pages and {} evictable ones, but there are {n_idle} and {}",
                self.n_idle,
                self.evictable.len(),
                evictable.len()
            ));
        }
        if let Some(node) = self.unused.iter().find(|&&node| self.nodes[node].is_some()) {
            return Err(format!("node {node} of the prefix cache is used and unused"));
        }
        self.pages.check(&n_holders)
    }

    fn add_node(&mut self, scope: &Scope, parent: Option<NodeId>, tokens: &[u32], page: PageId) -> NodeId {
        self.tick += 1;
        let last_used = self.tick;
        let node = Node {
            scope: *scope,
            parent,
            page,
            tokens: tokens.into(),
            children: Children::new(),
            last_used,
        };
        let id = self.unused.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[id] = Some(node);
        match parent {
            None => self.roots.entry(*scope).or_default().insert(tokens.into(), id),
            Some(parent) => {
                let parent_used = self.node(parent).last_used;
                self.evictable.remove(&(parent_used, parent));
                self.node_mut(parent).children.insert(tokens.into(), id)
            }
        };
        id
    }

    /// Forgets a partial page that has nothing that `tokens` have not. Partial pages are held by nobody.
    fn remove_beginning(&mut self, scope: &Scope, parent: Option<NodeId>, tokens: &[u32]) {
        let beside = self
            .children(scope, parent)
            .and_then(|children| longest_common(children, tokens));
        if let Some((node, n_common)) = beside
            && n_common == self.node(node).tokens.len()
        {
            self.remove(node);
        }
    }

    /// Forgets a leaf that nobody holds and frees its page.
    fn remove(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id].take() else { return };
        debug_assert!(
            node.children.is_empty() && self.pages.n_holders(node.page) == 1,
            "only idle leaves can go"
        );
        self.unused.push(id);
        self.evictable.remove(&(node.last_used, id));
        self.n_idle -= 1;
        self.pages.release(node.page);
        match node.parent {
            Some(parent) => {
                self.node_mut(parent).children.remove(&node.tokens);
                self.note_if_evictable(parent);
            }
            None => {
                if let Some(children) = self.roots.get_mut(&node.scope) {
                    children.remove(&node.tokens);
                    if children.is_empty() {
                        self.roots.remove(&node.scope);
                    }
                }
            }
        }
    }

    fn note_if_evictable(&mut self, id: NodeId) {
        let node = self.node(id);
        if self.is_idle(id) && node.children.is_empty() {
            self.evictable.insert((node.last_used, id));
        }
    }

    /// Whether only the cache itself holds the node's page.
    fn is_idle(&self, node: NodeId) -> bool {
        self.pages.n_holders(self.node(node).page) == 1
    }

    fn children(&self, scope: &Scope, parent: Option<NodeId>) -> Option<&Children> {
        match parent {
            Some(parent) => Some(&self.node(parent).children),
            None => self.roots.get(scope),
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes[id]
            .as_ref()
            .expect("node ids are only kept while their node is")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id]
            .as_mut()
            .expect("node ids are only kept while their node is")
    }
}

/// The child that begins with most of `tokens`, and how many those are; none if not even one.
fn longest_common(children: &Children, tokens: &[u32]) -> Option<(NodeId, usize)> {
    let before = children
        .range::<[u32], _>((Unbounded, Included(tokens)))
        .next_back();
    let after = children.range::<[u32], _>((Excluded(tokens), Unbounded)).next();
    let n_common = |known: &[u32]| known.iter().zip(tokens).take_while(|(a, b)| a == b).count();
    let beside = before
        .into_iter()
        .chain(after)
        .map(|(known, &node)| (n_common(known), node));
    beside
        .max()
        .filter(|&(n_common, _)| n_common > 0)
        .map(|(n_common, node)| (node, n_common))
}
