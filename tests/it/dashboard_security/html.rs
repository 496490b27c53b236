//! Pages, read with less trust than a browser has.

/// A tag that opens or closes an element.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag {
    /// `a`, or `/a`.
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All tags of a page. Any `<` begins one, wherever it stands: what was typed never has one.
pub fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    for piece in page.split('<').skip(1) {
        let name: String = piece.chars().take_while(|c| !c.is_whitespace() && *c != '>').collect();
        let mut rest = &piece[name.len()..];
        let mut attributes: Vec<(String, String)> = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                assert!(!after.contains('>'), "a bare `>` in `{piece}`");
                break;
            }
            assert!(!rest.is_empty(), "a tag that does not end: `{piece}`");
            let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>');
            let end = end.unwrap_or_else(|| panic!("an attribute that does not end: `{piece}`"));
            let attribute = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(quoted) = rest.strip_prefix('=') {
                let quoted = quoted.strip_prefix('"').unwrap_or_else(|| panic!("bare: `{piece}`"));
                let (inner, after) = quoted.split_once('"').unwrap();
                assert!(!inner.contains('>'), "`>` in an attribute of `{piece}`");
                value = unescaped(inner);
                rest = after;
                assert!(rest.starts_with([' ', '\n', '>', '/']), "after a value: `{piece}`");
            }
            assert!(attributes.iter().all(|(known, _)| *known != attribute), "twice: `{piece}`");
            attributes.push((attribute, value));
        }
        tags.push(Tag { name, attributes });
    }
    tags
}

/// The first place in which two pages do not have the same tag with the same attributes, whatever their
/// values.
pub fn difference(one: &str, other: &str) -> Option<String> {
    let shape = |page: &str| {
        let names = |tag: Tag| tag.attributes.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        tags(page).into_iter().map(move |tag| (tag.name.clone(), names(tag))).collect::<Vec<_>>()
    };
    let (one, other) = (shape(one), shape(other));
    let place = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at))?;
    Some(format!("tag {place}: {:?} and {:?}", one.get(place), other.get(place)))
}

/// Fails if the page has something that no page of ours has, or leads out of the dashboard.
#[track_caller]
pub fn is_sound(page: &str) {
    const ELEMENTS: &str = "!doctype html head meta title link script body a header div img nav ul li \
        form input span strong small button main p h1 h2 h3 section dl dt dd code bdi em br table \
        caption thead tbody tr th td time label select option textarea fieldset legend details \
        summary datalist svg g rect del ins pre noscript";
    for tag in tags(page) {
        let name = tag.name.trim_start_matches('/');
        assert!(ELEMENTS.split_whitespace().any(|known| known == name), "<{name}>: {page}");
        for (name, value) in &tag.attributes {
            let name = name.as_str();
            assert!(!name.starts_with("on"), "{tag:?}");
            assert!(
                !["style", "srcdoc", "formaction", "ping", "target"].contains(&name),
                "{tag:?}"
            );
            if ["href", "src", "action"].contains(&name) {
                let is_here = value.starts_with('/') && !value.starts_with("//");
                assert!(is_here || value.starts_with('#'), "{tag:?}");
                assert!(!value.contains(['\\', '\n', '\t', '\r']), "{tag:?}");
            }
        }
        if ["script", "link", "img"].contains(&name) && !tag.name.starts_with('/') {
            let from = tag.get("src").or(tag.get("href")).unwrap();
            assert!(from.starts_with("/assets/"), "{tag:?}");
        }
        if tag.get("http-equiv").is_some() {
            assert_eq!(tag.get("http-equiv"), Some("refresh"));
            let content = tag.get("content").unwrap();
            let (seconds, to) = content.split_once("; url=").unwrap_or((content, "/audit?"));
            let is_here = to.starts_with('/') && !to.starts_with("//");
            assert!(seconds.chars().all(|c| c.is_ascii_digit()), "{tag:?}");
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/?&=%+-_.*".contains(c);
            assert!(is_here && to.chars().all(is_plain), "{tag:?}");
        }
    }
    // A script of ours is a file; between its tags there is nothing.
    for inline in page.split("<script").skip(1) {
        assert!(inline.split_once('>').unwrap().1.starts_with("</script>"), "{page}");
    }
}

/// What people read, and the values of fields.
pub fn words(page: &str) -> String {
    let texts = page.split('<').map(|piece| piece.rsplit_once('>').map_or(piece, |(_, text)| text));
    let mut words = unescaped(&texts.collect::<Vec<_>>().join(" "));
    for value in tags(page).iter().filter_map(|tag| tag.get("value")) {
        words.push(' ');
        words.push_str(value);
    }
    words
}

/// The value of the first field `name`.
pub fn field(page: &str, name: &str) -> Option<String> {
    let tags = tags(page);
    let found = tags.iter().find(|tag| tag.name == "input" && tag.get("name") == Some(name))?;
    Some(found.get("value").unwrap_or_default().to_owned())
}

fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (escaped, plain) in [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'")] {
        out = out.replace(escaped, plain);
    }
    out.replace("&#38;", "&")
}

#[test]
fn what_is_not_sound_is_found() {
    for bad in [
        "<p><script>alert(1)</script></p>",
        "<img src=\"x\" onerror=\"alert(1)\">",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\"//evil.example\">x</a>",
        "<script src=\"/assets/1/dashboard.js\">alert(1)</script>",
        "<iframe></iframe>",
        "<p onclick=\"x\">x</p>",
        "<p title=x>x</p>",
        "<meta http-equiv=\"refresh\" content=\"0;url=https://evil.example\">",
        "<meta http-equiv=\"refresh\" content=\"0; url=//evil.example\">",
    ] {
        let found = std::panic::catch_unwind(|| is_sound(bad));
        assert!(found.is_err(), "{bad}");
    }
    is_sound("<p title=\"&#34; onclick=&#34;\">&#60;script&#62;</p>");
}
