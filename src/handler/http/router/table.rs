//! Which resource a path names: literal paths by their length, all others segment by segment. Segments are compared
//! decoded, so that no spelling of a path leads round what stands at it; a dot segment leads nowhere.

use super::super::text::decoded;
use crate::error::{Error, Result};
use crate::limits::{HTTP_ROUTE_PARAMS_MAX, HTTP_ROUTE_SEGMENTS_MAX};
use crate::proto::http1::Method;

/// Longest literal path that is found without a walk.
const LITERAL_BYTES_MAX: usize = 64;

/// Where a path's parameters lie in it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Params {
    ranges: [(u16, u16); HTTP_ROUTE_PARAMS_MAX],
    count: usize,
}

impl Params {
    pub const NONE: Self = Self { ranges: [(0, 0); HTTP_ROUTE_PARAMS_MAX], count: 0 };

    /// Where the parameter at `index` begins and ends.
    pub fn range(&self, index: usize) -> (usize, usize) {
        let (start, end) = self.ranges[..self.count].get(index).copied().unwrap_or_default();
        (start.into(), end.into())
    }

    fn push(&mut self, start: usize, end: usize) {
        // A path is shorter than 64 KiB: `HTTP_TARGET_BYTES_MAX`.
        self.ranges[self.count] = (start as u16, end as u16);
        self.count += 1;
    }
}

/// The resources by their patterns.
pub(super) struct Table {
    /// By length of the path.
    literals: Vec<Vec<Literal>>,
    nodes: Vec<Node>,
}

/// A path without parameters.
struct Literal {
    path: Box<[u8]>,
    resource: u32,
    routes: Routes,
}

/// Which route a request takes, by its method.
pub(super) type Routes = [u32; Method::COUNT];

/// What may follow the segments so far.
#[derive(Default)]
struct Node {
    /// Decoded.
    literals: Vec<(Box<[u8]>, usize)>,
    param: Option<usize>,
    /// What takes all that follows.
    wildcard: Option<u32>,
    /// What ends here.
    resource: Option<u32>,
}

impl Table {
    pub fn new() -> Self {
        let literals = (0..=LITERAL_BYTES_MAX).map(|_| Vec::new()).collect();
        Self { literals, nodes: vec![Node::default()] }
    }

    /// The resource of `pattern`, which is `new` unless there is one; and the names of its parameters.
    pub fn add(&mut self, pattern: &str, new: u32) -> Result<(u32, Vec<Box<str>>)> {
        let segments = check(pattern)?;
        let (mut at, mut names, mut is_literal) = (0, Vec::new(), true);
        for (index, segment) in segments.iter().enumerate() {
            if let Some(name) = segment.strip_prefix('*') {
                if index + 1 < segments.len() {
                    return Err(refuse(pattern, "nothing may follow a `*name`"));
                }
                add_name(pattern, name, &mut names)?;
                return Ok((*self.nodes[at].wildcard.get_or_insert(new), names));
            }
            at = match segment.strip_prefix(':') {
                Some(name) => {
                    add_name(pattern, name, &mut names)?;
                    is_literal = false;
                    self.param_child(at)
                }
                None => self.literal_child(at, decoded(segment.as_bytes()).collect()),
            };
        }
        let resource = *self.nodes[at].resource.get_or_insert(new);
        if is_literal && pattern.len() <= LITERAL_BYTES_MAX && resource == new {
            let literal =
                Literal { path: pattern.as_bytes().into(), resource, routes: Routes::default() };
            self.literals[pattern.len()].push(literal);
        }
        Ok((resource, names))
    }

    fn literal_child(&mut self, at: usize, segment: Box<[u8]>) -> usize {
        let known = self.nodes[at].literals.iter().find(|(literal, _)| *literal == segment);
        if let Some((_, child)) = known {
            return *child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[at].literals.push((segment, child));
        child
    }

    fn param_child(&mut self, at: usize) -> usize {
        let fresh = self.nodes.len();
        let child = *self.nodes[at].param.get_or_insert(fresh);
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The resource that `path` names. A literal goes before a parameter, and that before a wildcard, segment by
    /// segment. None is found for a path that has a dot segment.
    pub fn find(&self, path: &[u8], params: &mut Params) -> Option<u32> {
        if let Some(literal) = self.literal(path) {
            return Some(literal.resource);
        }
        if self.nodes.len() == 1 && self.nodes[0].wildcard.is_none() || path.first() != Some(&b'/')
        {
            return None;
        }
        self.walk(0, Path { bytes: path, is_escaped: path.contains(&b'%') }, 1, params)
    }

    /// The same where `target` is one of the literal paths, as most are: it has no query then.
    #[inline]
    pub fn find_literal(&self, target: &[u8]) -> Option<&Routes> {
        self.literal(target).map(|literal| &literal.routes)
    }

    #[inline(always)]
    fn literal(&self, target: &[u8]) -> Option<&Literal> {
        self.literals.get(target.len())?.iter().find(|literal| *literal.path == *target)
    }

    /// Says which routes those take that find `resource` so.
    pub fn set_routes(&mut self, resource: u32, routes: &Routes) {
        for literal in self.literals.iter_mut().flatten().filter(|l| l.resource == resource) {
            literal.routes = *routes;
        }
    }

    /// The resource below `node` of the segments from `start` on, as deep as there are patterns.
    fn walk(&self, node: usize, path: Path<'_>, start: usize, params: &mut Params) -> Option<u32> {
        let node = &self.nodes[node];
        let Some(rest) = path.bytes.get(start..) else { return node.resource };
        let end = start + rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let segment = &path.bytes[start..end];
        let count = params.count;
        let is_segment = |(literal, _): &&(Box<[u8]>, usize)| match path.is_escaped {
            true => decoded(segment).eq(literal.iter().copied()),
            false => **literal == *segment,
        };
        if let Some((_, child)) = node.literals.iter().find(is_segment)
            && let Some(found) = self.walk(*child, path, end + 1, params)
        {
            return Some(found);
        }
        params.count = count;
        if let Some(child) = node.param
            && !segment.is_empty()
            && !is_dots(segment)
        {
            params.push(start, end);
            if let Some(found) = self.walk(child, path, end + 1, params) {
                return Some(found);
            }
        }
        params.count = count;
        let resource = node.wildcard?;
        if has_dots(rest) {
            return None;
        }
        params.push(start, path.bytes.len());
        Some(resource)
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Path<'a> {
    bytes: &'a [u8],
    /// There is a `%` in it.
    is_escaped: bool,
}

/// Whether a segment of `path` is `.` or `..`, encoded or not (RFC 3986 §3.3): whoever resolves it ends at another
/// path than the one that was routed.
pub(super) fn has_dots(path: &[u8]) -> bool {
    let may_have = path.contains(&b'.') || path.contains(&b'%');
    may_have && path.split(|byte| *byte == b'/').any(is_dots)
}

fn is_dots(segment: &[u8]) -> bool {
    match segment {
        [b'.' | b'%', ..] => {
            let mut bytes = decoded(segment);
            let first = [bytes.next(), bytes.next(), bytes.next()];
            matches!(first, [Some(b'.'), None | Some(b'.'), None])
        }
        _ => false,
    }
}

/// The segments of a pattern that is legal.
fn check(pattern: &str) -> Result<Vec<&str>> {
    let Some(rest) = pattern.strip_prefix('/') else {
        return Err(refuse(pattern, "it has to begin with `/`"));
    };
    if !pattern.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#') {
        return Err(refuse(pattern, "what is no visible ASCII, `?` and `#` are never in a path"));
    }
    if has_dots(pattern.as_bytes()) {
        return Err(refuse(pattern, "a path with `.` or `..` for a segment is never routed"));
    }
    let segments: Vec<&str> = rest.split('/').collect();
    if segments.len() > HTTP_ROUTE_SEGMENTS_MAX {
        return Err(refuse(pattern, "it has too many segments"));
    }
    Ok(segments)
}

fn add_name(pattern: &str, name: &str, names: &mut Vec<Box<str>>) -> Result<()> {
    if name.is_empty() || names.iter().any(|known| **known == *name) {
        return Err(refuse(pattern, "each parameter needs a name of its own"));
    }
    if names.len() == HTTP_ROUTE_PARAMS_MAX {
        return Err(refuse(pattern, "it has too many parameters"));
    }
    names.push(name.into());
    Ok(())
}

fn refuse(pattern: &str, why: &str) -> Error {
    Error::new(
        format!("add a route for `{pattern}`"),
        why,
        format!(
            "write it like /users/:id or /files/*path, with at most {HTTP_ROUTE_SEGMENTS_MAX} segments and \
             {HTTP_ROUTE_PARAMS_MAX} parameters"
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(patterns: &[&str]) -> Table {
        let mut table = Table::new();
        for (index, pattern) in patterns.iter().enumerate() {
            table.add(pattern, index as u32).unwrap();
        }
        table
    }

    fn find(table: &Table, path: &str) -> Option<(u32, Vec<String>)> {
        let mut params = Params::NONE;
        let found = table.find(path.as_bytes(), &mut params)?;
        let text = |index| {
            let (start, end) = params.range(index);
            path[start..end].to_owned()
        };
        Some((found, (0..params.count).map(text).collect()))
    }

    fn found(resource: u32, params: &[&str]) -> Option<(u32, Vec<String>)> {
        Some((resource, params.iter().map(|text| (*text).to_owned()).collect()))
    }

    #[test]
    fn literals_go_before_parameters_and_those_before_wildcards() {
        let table = table(&["/", "/users/:id", "/users/me", "/users/:id/posts/:post", "/*rest"]);
        assert_eq!(find(&table, "/"), found(0, &[]));
        assert_eq!(find(&table, "/users/7"), found(1, &["7"]));
        assert_eq!(find(&table, "/users/me"), found(2, &[]));
        assert_eq!(find(&table, "/users/me/posts/3"), found(3, &["me", "3"]));
        assert_eq!(find(&table, "/users/me/else"), found(4, &["users/me/else"]));
        assert_eq!(find(&table, "/users/"), found(4, &["users/"]), "a parameter is not empty");
        assert_eq!(find(&table, "*"), None);
        assert_eq!(find(&table, ""), None);
    }

    #[test]
    fn a_wildcard_takes_what_is_behind_its_slash_and_a_last_slash_counts() {
        let table = table(&["/files/*path", "/dir/", "/dir"]);
        assert_eq!(find(&table, "/files/"), found(0, &[""]));
        assert_eq!(find(&table, "/files/a/b//c"), found(0, &["a/b//c"]));
        assert_eq!(find(&table, "/files"), None);
        assert_eq!(find(&table, "/dir/"), found(1, &[]));
        assert_eq!(find(&table, "/dir"), found(2, &[]));
        assert_eq!(find(&table, "/dir//"), None);
    }

    #[test]
    fn patterns_that_make_no_sense_are_refused_and_say_why() {
        let deep = "/a".repeat(HTTP_ROUTE_SEGMENTS_MAX + 1);
        let many: String = (0..=HTTP_ROUTE_PARAMS_MAX).map(|n| format!("/:p{n}")).collect();
        for (pattern, why) in [
            ("", "begin with"),
            ("users", "begin with"),
            ("/a?b", "visible ASCII"),
            ("/é", "visible ASCII"),
            ("/:", "a name of its own"),
            ("/:a/:a", "a name of its own"),
            ("/*a/b", "nothing may follow"),
            (&deep, "segments"),
            (&many, "parameters"),
        ] {
            let error = Table::new().add(pattern, 0).unwrap_err().to_string();
            assert!(error.contains(why), "{pattern}: {error}");
        }
        assert!(Table::new().add(&"/a".repeat(HTTP_ROUTE_SEGMENTS_MAX), 0).is_ok());
        let most: String = (0..HTTP_ROUTE_PARAMS_MAX).map(|n| format!("/:p{n}")).collect();
        assert!(Table::new().add(&most, 0).is_ok());
    }

    /// Which pattern of those that match goes first: by kinds of segments.
    fn oracle(patterns: &[String], path: &str) -> Option<usize> {
        let rank = |pattern: &str| -> Option<Vec<u8>> {
            let (mut ranks, mut path) = (Vec::new(), path.strip_prefix('/')?.split('/'));
            for segment in pattern[1..].split('/') {
                if segment.starts_with('*') {
                    path.next()?;
                    ranks.push(2);
                    return Some(ranks);
                }
                let of_path = path.next()?;
                match segment.starts_with(':') {
                    true if of_path.is_empty() => return None,
                    true => ranks.push(1),
                    false if segment == of_path => ranks.push(0),
                    false => return None,
                }
            }
            path.next().is_none().then_some(ranks)
        };
        let ranked = patterns.iter().enumerate().filter_map(|(n, p)| Some((rank(p)?, n)));
        ranked.min().map(|(_, index)| index)
    }

    proptest! {
        #[test]
        fn a_path_finds_the_same_however_it_is_written(
            path in "(/(a|b|\\.a|c|)){0,4}",
            escaped in proptest::collection::vec(any::<u8>(), 12),
        ) {
            let table = table(&["/a/b", "/a/:x/.a", "/:x/b", "/a/*all", "/b/c", "/b/:y/c/*all"]);
            let mut which = escaped.iter();
            let mut spell = |letter: char| match which.next() {
                Some(0..100) if letter != '/' => format!("%{:02x}", letter as u32),
                Some(100..200) if letter != '/' => format!("%{:02X}", letter as u32),
                _ => letter.to_string(),
            };
            let spelt: String = path.chars().map(&mut spell).collect();
            let of = |path: &str| find(&table, path).map(|(found, params)| {
                let decode = |text: &String| String::from_utf8(decoded(text.as_bytes()).collect());
                (found, params.iter().map(decode).collect::<Vec<_>>())
            });
            prop_assert_eq!(of(&spelt), of(&path), "{} as {}", path, spelt);
        }

        #[test]
        fn the_table_finds_what_a_look_at_every_pattern_finds(
            patterns in proptest::collection::vec("(/(a|b|:[xy]|)){1,3}(/\\*z)?", 1..12),
            path in "(/(a|b|c|)){0,4}",
        ) {
            let mut table = Table::new();
            let mut legal: Vec<String> = Vec::new();
            for pattern in patterns {
                // The same resource by another name is the first one's.
                let shape = |p: &str| p.replace(":y", ":x");
                if !legal.iter().any(|known| shape(known) == shape(&pattern))
                    && table.add(&pattern, legal.len() as u32).is_ok()
                {
                    legal.push(pattern);
                }
            }
            let got = find(&table, &path).map(|(resource, _)| resource as usize);
            prop_assert_eq!(got, oracle(&legal, &path), "{} in {:?}", path, legal);
        }
    }
}
