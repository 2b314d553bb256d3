//! What elements mean: which break the text into blocks, which hold none, and which say by their
//! name, class or role what stands in them.

/// The part that an element plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Stands within a line.
    Inline,
    /// Has no end tag and no text.
    Void,
    Break,
    Link,
    Heading,
    Block,
    /// A block that only holds others.
    Container,
    List,
    Table,
    Cell,
    Verbatim,
    /// A block that says itself what it is for.
    Marked(Region),
    /// What a page says of itself.
    Head,
    /// Belongs to the head and is not shown.
    Meta,
    /// Holds nothing to be read as running text.
    Dead,
    /// The whole page, never marked by its class.
    Root,
}

/// What stands in a region; where an element says several things, the last in this order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    /// Nothing is said of it.
    Plain,
    /// The element for the article or the main part.
    Main,
    /// The very text of an article.
    Body,
    /// Navigation, related links, comments, sharing, captions, footers and the like.
    Aside,
}

impl Tag {
    /// By its name in lower case.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"a" => Self::Link,
            b"br" => Self::Break,
            b"area" | b"base" | b"hr" | b"img" | b"input" | b"keygen" | b"link" | b"meta"
            | b"param" | b"source" | b"track" | b"wbr" | b"embed" | b"basefont" => Self::Void,
            b"col" => Self::Void,
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => Self::Heading,
            b"ul" | b"ol" | b"dl" | b"menu" => Self::List,
            b"table" => Self::Table,
            b"td" | b"th" | b"caption" => Self::Cell,
            b"pre" => Self::Verbatim,
            b"html" | b"body" => Self::Root,
            b"head" => Self::Head,
            b"title" | b"style" | b"script" | b"noscript" | b"template" => Self::Meta,
            b"applet" | b"audio" | b"button" | b"canvas" | b"datalist" | b"frameset"
            | b"iframe" | b"layer" | b"noembed" | b"noframes" | b"object" | b"select" | b"svg"
            | b"textarea" | b"video" => Self::Dead,
            b"nav" | b"footer" | b"aside" | b"dialog" | b"figure" | b"figcaption" => {
                Self::Marked(Region::Aside)
            }
            b"article" | b"main" => Self::Marked(Region::Main),
            b"center" | b"div" | b"form" | b"section" => Self::Container,
            b"address" | b"blockquote" | b"colgroup" | b"dd" | b"details" | b"dt" | b"fieldset"
            | b"header" | b"hgroup" | b"legend" | b"li" | b"optgroup" | b"option" | b"p"
            | b"summary" | b"tbody" | b"tfoot" | b"thead" | b"tr" => Self::Block,
            _ => Self::Inline,
        }
    }

    /// Whether text before, in and after it are different paragraphs.
    pub(super) fn is_block(self) -> bool {
        !matches!(self, Self::Inline | Self::Void | Self::Break | Self::Link | Self::Meta)
            && self != Self::Dead
    }

    /// Whether nothing in it is read.
    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::Head | Self::Meta | Self::Dead)
    }

    pub(super) fn belongs_in_head(self) -> bool {
        matches!(self, Self::Meta | Self::Void)
    }

    pub(super) fn region(self) -> Option<Region> {
        match self {
            Self::Marked(region) => Some(region),
            Self::Container | Self::Cell => Some(Region::Plain),
            _ => None,
        }
    }

    /// Whether its class or id is believed.
    pub(super) fn may_be_marked(self) -> bool {
        self.is_block() && self != Self::Root && self != Self::Marked(Region::Main)
    }
}

/// Words in classes and ids of what surrounds a text.
const ASIDE_WORDS: &[&str] = &[
    "ad",
    "ads",
    "advert",
    "advertisement",
    "author",
    "authors",
    "banner",
    "breadcrumb",
    "breadcrumbs",
    "byline",
    "caption",
    "comment",
    "comments",
    "cookie",
    "cookies",
    "copyright",
    "credit",
    "credits",
    "disclaimer",
    "disqus",
    "foot",
    "footer",
    "gallery",
    "image",
    "img",
    "infobox",
    "legal",
    "login",
    "menu",
    "meta",
    "modal",
    "nav",
    "navbar",
    "navigation",
    "newsletter",
    "pager",
    "pagination",
    "popup",
    "profile",
    "promo",
    "recommend",
    "recommended",
    "related",
    "respond",
    "rss",
    "share",
    "shared",
    "sharedaddy",
    "sharing",
    "sidebar",
    "signup",
    "skip",
    "slider",
    "social",
    "sponsor",
    "sponsored",
    "subscribe",
    "taglist",
    "tags",
    "teaser",
    "teasers",
    "timestamp",
    "toolbar",
    "topbar",
    "trending",
    "widget",
];

/// Values of classes and ids of the very text of an article.
const BODY_NAMES: &[&str] = &[
    "articlebody",
    "article-body",
    "article-content",
    "article-text",
    "article_body",
    "article__body",
    "article__content",
    "articletext",
    "entry-content",
    "entrycontent",
    "post-content",
    "post-body",
    "post_content",
    "postcontent",
    "post-entry",
    "story-body",
    "content-body",
    "mw-content-text",
    "field-name-body",
    "entry",
    "body-text",
];

/// What the value of an attribute (`class`, `id`, `role`, `itemprop`) says.
pub(super) fn region_of(attribute: &[u8], value: &[u8]) -> Option<Region> {
    let value = std::str::from_utf8(value).ok()?;
    let words = value.split_ascii_whitespace();
    match attribute {
        b"role" => words.filter_map(role).max(),
        b"itemprop" => {
            words.filter_map(|name| (name == "articleBody").then_some(Region::Body)).max()
        }
        _ => words.filter_map(class).max(),
    }
}

fn role(name: &str) -> Option<Region> {
    match name {
        "navigation" | "banner" | "contentinfo" | "complementary" | "dialog" | "search"
        | "menu" | "menubar" | "toolbar" | "alert" | "alertdialog" => Some(Region::Aside),
        "main" | "article" => Some(Region::Main),
        _ => None,
    }
}

fn class(name: &str) -> Option<Region> {
    let lower = name.to_ascii_lowercase();
    if BODY_NAMES.contains(&&lower[..]) {
        return Some(Region::Body);
    }
    let (bytes, lower) = (name.as_bytes(), lower.as_bytes());
    let mut start = 0;
    for end in 1..=bytes.len() {
        let border = end == bytes.len()
            || !bytes[end].is_ascii_alphabetic()
            || (bytes[end].is_ascii_uppercase() && !bytes[end - 1].is_ascii_uppercase());
        if border {
            let word = &lower[start..end];
            let word = word.strip_prefix(b"-").or(word.strip_prefix(b"_")).unwrap_or(word);
            if ASIDE_WORDS.iter().any(|known| known.as_bytes() == word) {
                return Some(Region::Aside);
            }
            start = end;
        }
    }
    None
}
