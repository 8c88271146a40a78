//! Style, script and icon of the pages, inside the program. The name of each has the digest of its content, so that browsers may
//! keep it for good.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::problem::HttpProblem;
use crate::core::digest::Digest;
use crate::view::draw::style::STYLE as GRAPH_STYLE;

/// How much of the digest is in a name, in hexadecimal digits.
const DIGEST_DIGITS: usize = 16;

/// A file of the pages.
pub struct Asset {
    /// The last part of its address.
    pub name: String,
    kind: &'static str,
    pub content: Cow<'static, [u8]>,
}

/// All files of the pages.
pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    pub icon: Asset,
}

pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    // The drawings of graphs have the same style in pages as alone.
    style: Asset::new(
        "style",
        "css",
        "text/css; charset=utf-8",
        Cow::Owned([&include_bytes!("assets/style.css")[..], GRAPH_STYLE.as_bytes()].concat()),
    ),
    script: Asset::new(
        "script",
        "js",
        "text/javascript; charset=utf-8",
        Cow::Borrowed(include_bytes!("assets/script.js")),
    ),
    icon: Asset::new("icon", "svg", "image/svg+xml", Cow::Borrowed(include_bytes!("assets/icon.svg"))),
});

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: Cow<'static, [u8]>) -> Self {
        let digest = Digest::of(&content).hex();
        Self { name: format!("{stem}-{}.{extension}", &digest[..DIGEST_DIGITS]), kind, content }
    }
}

/// Gives a file of the pages.
pub async fn asset(Path(name): Path<String>) -> Result<Response, HttpProblem> {
    let all = [&ASSETS.style, &ASSETS.script, &ASSETS.icon];
    let asset: Option<&'static Asset> = all.into_iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| HttpProblem::not_found("there is no such file"))?;
    let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, &*asset.content).into_response())
}
