//! The console's files: a page and its modules, which speak to the same API as everybody else.
//!
//! Files are asked for under the version of the whole, `/console/assets/VERSION/…`, and kept by browsers for ever; only the
//! page itself is asked for anew. Its policy lets nothing run or load that does not come from here.

use std::path::{Component, Path as FilePath};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use tokenmill_accounts::ATTEMPT_LIFE;

use crate::App;
use crate::error::ApiError;

/// A file of the console.
struct File {
    name: &'static str,
    plain: &'static [u8],
    /// With gzip.
    packed: &'static [u8],
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/console_files.rs"));

const VERSION: &str = env!("TOKENMILL_CONSOLE_VERSION");
/// Stands for the version in the page.
const VERSION_MARK: &str = "{{version}}";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types dompurify";

/// The paths of the page and its files.
pub(crate) fn router() -> axum::Router<Arc<App>> {
    axum::Router::new()
        .route("/", get(|| async { Redirect::temporary("/console/") }))
        .route("/console", get(page))
        .route("/console/", get(page))
        .route("/console/{*path}", get(page))
        .route("/docs", get(page))
        .route("/docs/", get(page))
        .route("/docs/{*path}", get(page))
        .route("/console/assets/{version}/{*name}", get(asset))
}

/// The same page for every path: its script reads the path and shows what belongs there.
async fn page(State(app): State<Arc<App>>) -> Response {
    let Some((bytes, _)) = find(&app, "index.html", false) else {
        return ApiError::unknown_route().into_response();
    };
    let version = if is_edited(&app) { "edited" } else { VERSION };
    let html = String::from_utf8_lossy(&bytes).replace(VERSION_MARK, version);
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    protect(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

async fn asset(
    Path((version, name)): Path<(String, String)>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Response {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    let takes_gzip = accepted.is_some_and(|list| {
        list.split(',')
            .any(|part| part.split(';').next().unwrap_or_default().trim() == "gzip")
    });
    let Some((bytes, is_packed)) = find(&app, &name, takes_gzip) else {
        return ApiError::unknown_route().into_response();
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    protect(headers);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(&name)),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    // A page of another version may ask while this one is being replaced: what it gets is not kept under that name.
    let is_kept = version == VERSION && !is_edited(&app);
    let caching = if is_kept {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

fn is_edited(app: &App) -> bool {
    !app.options.console_dir.is_empty()
}

/// A file's bytes, and whether they are compressed.
fn find(app: &App, name: &str, takes_gzip: bool) -> Option<(std::borrow::Cow<'static, [u8]>, bool)> {
    if is_edited(app) && !name.starts_with("docs/") {
        let relative = FilePath::new(name);
        // Nothing outside the folder.
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return None;
        }
        let bytes = std::fs::read(FilePath::new(&app.options.console_dir).join(relative)).ok()?;
        return Some((bytes.into(), false));
    }
    let idx = FILES.binary_search_by(|file| file.name.cmp(name)).ok()?;
    let file = &FILES[idx];
    let is_packed = takes_gzip && file.packed.len() < file.plain.len();
    let bytes = if is_packed { file.packed } else { file.plain };
    Some((bytes.into(), is_packed))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("html") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
}

/// Whether a request that brings a session's cookie comes from the console's own page: what the browser says of it, as
/// Fetch Metadata or, in browsers without that, as `Origin`. One that says neither is no browser, and has a key instead.
pub(crate) fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), ..) => matches!(site, "same-origin" | "none"),
        (None, Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, of)| of.eq_ignore_ascii_case(host)),
        _ => false,
    }
}

/// What the console keeps in browsers.
#[derive(Clone, Copy)]
pub(crate) enum Cookie {
    /// The token of a session.
    Session,
    /// A sign-in with an identity provider that has begun.
    Attempt,
}

impl Cookie {
    /// With the prefix that binds it to this host and to TLS, where there is TLS.
    fn name(self, app: &App) -> &'static str {
        match (self, app.options.secure_cookies) {
            (Cookie::Session, true) => "__Host-tokenmill",
            (Cookie::Session, false) => "tokenmill",
            (Cookie::Attempt, true) => "__Host-tokenmill-sign-in",
            (Cookie::Attempt, false) => "tokenmill-sign-in",
        }
    }

    fn life_s(self) -> u64 {
        match self {
            // The longest that a session lives; an idle one ends earlier, on the server.
            Cookie::Session => 7 * 86_400,
            Cookie::Attempt => ATTEMPT_LIFE.as_secs(),
        }
    }
}

/// The session's token in the cookies of a request.
pub(crate) fn session_token<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h str> {
    cookie(app, headers, Cookie::Session)
}

/// A cookie of a request.
pub(crate) fn cookie<'h>(app: &App, headers: &'h HeaderMap, which: Cookie) -> Option<&'h str> {
    let name = which.name(app);
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut found = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(of, _)| *of == name)
        .map(|(_, value)| value);
    // Two of one name: somebody else on this host may have set one of them.
    let only = found.next();
    only.filter(|_| found.next().is_none())
}

/// Sets a cookie, or takes it away.
pub(crate) fn set_cookie(app: &App, response: &mut Response, which: Cookie, value: Option<&str>) {
    let name = which.name(app);
    let secure = if app.options.secure_cookies {
        "; Secure"
    } else {
        ""
    };
    let (value, age_s) = value.map_or(("", 0), |value| (value, which.life_s()));
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_consoles_own_page_may_bring_a_cookie() {
        let is_let_in = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_from_here(&headers)
        };
        assert!(is_let_in(&[("sec-fetch-site", "same-origin")]));
        assert!(is_let_in(&[("sec-fetch-site", "none")]));
        assert!(!is_let_in(&[("sec-fetch-site", "same-site")]));
        assert!(!is_let_in(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://a"),
            ("host", "a")
        ]));
        assert!(is_let_in(&[("origin", "https://mill:80"), ("host", "mill:80")]));
        assert!(!is_let_in(&[("origin", "https://evil"), ("host", "mill")]));
        assert!(!is_let_in(&[("origin", "null"), ("host", "mill")]));
        assert!(!is_let_in(&[("host", "mill")]));
    }

    #[test]
    fn the_page_and_its_files_are_there_and_small() {
        let names: Vec<_> = FILES.iter().map(|file| file.name).collect();
        assert!(names.is_sorted());
        for name in [
            "index.html",
            "main.js",
            "docs/README.md",
            "docs/decisions/README.md",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        let code = FILES
            .iter()
            .filter(|file| file.name.ends_with(".js") || file.name.ends_with(".css"));
        let n_bytes: usize = code.map(|file| file.packed.len()).sum();
        assert!(n_bytes < 300_000, "{n_bytes} bytes of code, compressed");
    }
}
