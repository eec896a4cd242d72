//! Merging neighbouring symbols, lowest priority number first, leftmost among equals: what byte-pair encoding and
//! SentencePiece-style encoding have in common.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// The id of a symbol that is no token; it merges only if the model says so.
pub(super) const NO_TOKEN: u32 = u32::MAX;

/// Up to this many symbols a plain scan for the best pair is faster than a heap.
const SCAN_LIMIT: usize = 48;

/// A piece of a word, bytes `start..end`, and the token that it is at present. A word of many megabytes has as many of
/// these, so they are small: no text that is encoded at once, normalized, comes near 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) id: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Symbol {
    /// The bytes of the word that it is.
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What two neighbours become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merge {
    /// Lower goes first.
    pub(super) priority: u32,
    pub(super) id: u32,
}

/// Merges until no pair can be. `rule` says what a left and a right neighbour become; it must be a pure function.
pub(super) fn merge(symbols: &mut Vec<Symbol>, rule: impl Fn(Symbol, Symbol) -> Option<Merge>) {
    if symbols.len() <= SCAN_LIMIT {
        merge_by_scan(symbols, rule);
    } else {
        merge_by_heap(symbols, rule);
    }
}

/// Quadratic in the number of symbols, and fast for few.
fn merge_by_scan(symbols: &mut Vec<Symbol>, rule: impl Fn(Symbol, Symbol) -> Option<Merge>) {
    // merges[i] is what symbols i and i + 1 become.
    let mut merges = [None; SCAN_LIMIT];
    for i in 1..symbols.len() {
        merges[i - 1] = rule(symbols[i - 1], symbols[i]);
    }
    loop {
        let n_pairs = symbols.len().saturating_sub(1);
        let mut best: Option<(Merge, usize)> = None;
        for (i, found) in merges[..n_pairs].iter().enumerate() {
            if let Some(found) = found
                && best.is_none_or(|(merge, _)| found.priority < merge.priority)
            {
                best = Some((*found, i));
            }
        }
        let Some((found, i)) = best else { return };
        symbols[i] = Symbol {
            id: found.id,
            start: symbols[i].start,
            end: symbols[i + 1].end,
        };
        symbols.remove(i + 1);
        merges.copy_within(i + 1..n_pairs, i);
        if i + 1 < symbols.len() {
            merges[i] = rule(symbols[i], symbols[i + 1]);
        }
        if i > 0 {
            merges[i - 1] = rule(symbols[i - 1], symbols[i]);
        }
    }
}

/// A symbol in a doubly linked list; `u32::MAX` ends it.
#[derive(Clone, Copy)]
struct Node {
    symbol: Symbol,
    prev: u32,
    next: u32,
    alive: bool,
}

/// A pair that may be merged: it is stale unless `left` still ends at `mid` and its neighbour at `end`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: u32,
    left: u32,
    mid: u32,
    end: u32,
    id: u32,
}

/// n log n, whatever the text.
fn merge_by_heap(symbols: &mut Vec<Symbol>, rule: impl Fn(Symbol, Symbol) -> Option<Merge>) {
    const END: u32 = u32::MAX;
    let n = symbols.len() as u32;
    let mut nodes: Vec<Node> = symbols
        .iter()
        .zip(0..n)
        .map(|(&symbol, i)| Node {
            symbol,
            prev: i.wrapping_sub(1),
            next: if i + 1 < n { i + 1 } else { END },
            alive: true,
        })
        .collect();
    let mut heap = BinaryHeap::with_capacity(symbols.len());
    let offer = |heap: &mut BinaryHeap<_>, nodes: &[Node], left: u32, right: u32| {
        if left == END || right == END {
            return;
        }
        let (l, r) = (nodes[left as usize].symbol, nodes[right as usize].symbol);
        if let Some(Merge { priority, id }) = rule(l, r) {
            heap.push(Reverse(Candidate {
                priority,
                left,
                mid: l.end,
                end: r.end,
                id,
            }));
        }
    };
    for i in 1..n {
        offer(&mut heap, &nodes, i - 1, i);
    }
    while let Some(Reverse(found)) = heap.pop() {
        let left = nodes[found.left as usize];
        if !left.alive || left.symbol.end != found.mid || left.next == END {
            continue;
        }
        let right = nodes[left.next as usize];
        if right.symbol.end != found.end {
            continue;
        }
        nodes[left.next as usize].alive = false;
        nodes[found.left as usize].symbol = Symbol {
            id: found.id,
            start: left.symbol.start,
            end: found.end,
        };
        nodes[found.left as usize].next = right.next;
        if right.next != END {
            nodes[right.next as usize].prev = found.left;
        }
        offer(&mut heap, &nodes, left.prev, found.left);
        offer(&mut heap, &nodes, found.left, right.next);
    }
    symbols.clear();
    symbols.extend(nodes.iter().filter(|node| node.alive).map(|node| node.symbol));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow obvious twin: look at every pair, do the best, start again.
    fn merge_naively(symbols: &mut Vec<Symbol>, rule: impl Fn(Symbol, Symbol) -> Option<Merge>) {
        loop {
            let best = (1..symbols.len())
                .filter_map(|i| {
                    rule(symbols[i - 1], symbols[i]).map(|merge| (merge.priority, i - 1, merge.id))
                })
                .min();
            let Some((_, i, id)) = best else { return };
            symbols[i] = Symbol {
                id,
                start: symbols[i].start,
                end: symbols[i + 1].end,
            };
            symbols.remove(i + 1);
        }
    }

    /// Symbols over a small alphabet merge by a made-up table with many equal priorities.
    fn rule(table: &[u32]) -> impl Fn(Symbol, Symbol) -> Option<Merge> + '_ {
        |left, right| {
            let cell = table[(left.id as usize * 7 + right.id as usize * 3) % table.len()];
            (!cell.is_multiple_of(3) && right.end - left.start < 12).then_some(Merge {
                priority: cell % 10,
                id: (cell / 10) % 50,
            })
        }
    }

    proptest! {
        #[test]
        fn scan_and_heap_merge_as_the_obvious_loop_does(
            ids in proptest::collection::vec(0u32..50, 0..SCAN_LIMIT),
            table in proptest::collection::vec(0u32..1000, 1..60),
        ) {
            let symbols: Vec<Symbol> =
                ids.iter().zip(0..).map(|(&id, i)| Symbol { id, start: i, end: i + 1 }).collect();
            let (mut naive, mut scan, mut heap) = (symbols.clone(), symbols.clone(), symbols);
            merge_naively(&mut naive, rule(&table));
            merge_by_scan(&mut scan, rule(&table));
            merge_by_heap(&mut heap, rule(&table));
            prop_assert_eq!(&scan, &naive);
            prop_assert_eq!(&heap, &naive);
        }
    }
}
