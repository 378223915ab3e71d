//! Page tokens, and the resume tokens of streams: opaque, versioned, bound to the query they were issued for.
//!
//! A token is `base64url(protobuf)` with a digest over the query and the position, so that a token of another query, an
//! altered or an invented one is refused. The digest is no secret: a position is no capability, every page is
//! authorised anew.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::domain::{
    deployment::{DeploymentPosition, PositionKey},
    error::{Error, Reason},
    id::{Iid, MergeRequestId},
    merge_request::query::{MergeRequestPosition, SortKey},
};

const VERSION: u32 = 1;
const DIGEST_LENGTH: usize = 16;

/// A token before base64.
#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    position: Vec<u8>,
}

/// Bytes as text that fits into a URL.
pub fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Something that marks where a page ended.
pub trait Position: Sized {
    /// As bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// From bytes, if they are such a position.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A query without its paging fields: what a token is bound to.
pub struct Query(Vec<u8>);

impl Query {
    /// The query of `method` with this request, whose paging fields were cleared.
    pub fn new(method: &str, request: &impl Message) -> Self {
        let mut bytes = method.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(request.encode_to_vec());
        Self(bytes)
    }

    fn digest(&self, position: &[u8]) -> Vec<u8> {
        let mut digest = Sha256::new();
        digest.update(u64::try_from(self.0.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(&self.0);
        digest.update(position);
        digest.finalize()[..DIGEST_LENGTH].to_vec()
    }

    /// The token for a position; empty for none.
    pub fn issue<P: Position>(&self, position: Option<&P>) -> String {
        position.map_or_else(String::new, |position| {
            let position = position.to_bytes();
            let token = Token {
                version: VERSION,
                digest: self.digest(&position),
                position,
            };
            base64(&token.encode_to_vec())
        })
    }

    /// The token for a position in a list by id; empty for none.
    pub fn issue_id(&self, position: Option<impl Into<i64>>) -> String {
        self.issue(position.map(|id| IdPosition(id.into())).as_ref())
    }

    /// The position in a token; none for an empty one.
    pub fn read<P: Position>(&self, token: &str) -> Result<Option<P>, Error> {
        self.read_as(
            token,
            Reason::InvalidPageToken,
            "the page token does not belong to this query",
        )
    }

    /// The position in a stream's token; none for an empty one.
    pub fn read_resume<P: Position>(&self, token: &str) -> Result<Option<P>, Error> {
        self.read_as(
            token,
            Reason::InvalidResumeToken,
            "the resume token does not belong to this stream",
        )
    }

    fn read_as<P: Position>(&self, token: &str, refusal: Reason, message: &str) -> Result<Option<P>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let read = || {
            let token = Token::decode(&*URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let ours = token.version == VERSION && token.digest == self.digest(&token.position);
            if ours {
                P::from_bytes(&token.position)
            } else {
                None
            }
        };
        read().map(Some).ok_or_else(|| Error::new(refusal, message))
    }
}

/// Reads the paging fields of a request for a list by id: the query that its tokens are bound to, and the wanted page.
/// A macro, because every such request has these fields but no language of messages lets them share a type.
macro_rules! paged_by_id {
    ($method:literal, $request:expr, $id:path) => {{
        let mut bound = $request.clone();
        bound.page_size = 0;
        bound.page_token.clear();
        bound.skip = 0;
        bound.want_total = false;
        let tokens = $crate::grpc::page_token::Query::new($method, &bound);
        tokens
            .read::<$crate::grpc::page_token::IdPosition>(&$request.page_token)
            .and_then(|after| {
                let after = after.map(|position| $id(position.0));
                let request = &$request;
                $crate::grpc::convert::page(request.page_size, request.skip, request.want_total, after)
            })
            .map(|page| (tokens, page))
    }};
}
pub(super) use paged_by_id;

/// A position in a list by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPosition(pub i64);

impl Position for IdPosition {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        i64::decode(bytes).ok().map(Self)
    }
}

/// A position in a list by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePosition(pub String);

impl Position for NamePosition {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }
}

/// A position in several logs: the number of an event in each.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LogPositions {
    /// In the order of the projects' ids.
    #[prost(int64, repeated, tag = "1")]
    pub seqs: Vec<i64>,
}

impl Position for LogPositions {
    fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

/// A [`DeploymentPosition`] as protobuf.
#[derive(Clone, PartialEq, Message)]
struct DeploymentToken {
    #[prost(int64, tag = "1")]
    iid: i64,
    #[prost(int64, optional, tag = "2")]
    millis: Option<i64>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
    #[prost(bool, tag = "4")]
    unfinished: bool,
}

impl Position for DeploymentPosition {
    fn to_bytes(&self) -> Vec<u8> {
        let mut token = DeploymentToken {
            iid: self.iid.0,
            ..DeploymentToken::default()
        };
        match &self.key {
            PositionKey::None => {}
            PositionKey::Time(Some(time)) => token.millis = Some(time.timestamp_millis()),
            PositionKey::Time(None) => token.unfinished = true,
            PositionKey::Text(text) => token.text = Some(text.clone()),
        }
        token.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let token = DeploymentToken::decode(bytes).ok()?;
        let key = match (token.millis, token.text, token.unfinished) {
            (None, None, false) => PositionKey::None,
            (Some(millis), None, false) => PositionKey::Time(Some(DateTime::from_timestamp_millis(millis)?)),
            (None, None, true) => PositionKey::Time(None),
            (None, Some(text), false) => PositionKey::Text(text),
            _ => return None,
        };
        Some(Self {
            key,
            iid: Iid(token.iid),
        })
    }
}

/// A [`MergeRequestPosition`] as protobuf.
#[derive(Clone, PartialEq, Message)]
struct MergeRequestToken {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(message, optional, tag = "2")]
    first: Option<SortKeyToken>,
    #[prost(message, optional, tag = "3")]
    second: Option<SortKeyToken>,
}

/// A [`SortKey`] as protobuf; nothing is absent.
#[derive(Clone, PartialEq, Message)]
struct SortKeyToken {
    #[prost(int64, optional, tag = "1")]
    number: Option<i64>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
}

impl SortKeyToken {
    fn of(key: &SortKey) -> Option<Self> {
        match key {
            SortKey::Nothing => None,
            SortKey::Number(number) => Some(Self {
                number: Some(*number),
                text: None,
            }),
            SortKey::Text(text) => Some(Self {
                number: None,
                text: Some(text.clone()),
            }),
        }
    }

    fn read(token: Option<Self>) -> Option<SortKey> {
        let Some(token) = token else {
            return Some(SortKey::Nothing);
        };
        match (token.number, token.text) {
            (Some(number), None) => Some(SortKey::Number(number)),
            // NUL is in no text that is stored.
            (None, Some(text)) if !text.contains('\0') => Some(SortKey::Text(text)),
            _ => None,
        }
    }
}

impl Position for MergeRequestPosition {
    fn to_bytes(&self) -> Vec<u8> {
        MergeRequestToken {
            id: self.id.0,
            first: SortKeyToken::of(&self.first),
            second: SortKeyToken::of(&self.second),
        }
        .encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let token = MergeRequestToken::decode(bytes).ok()?;
        Some(Self {
            first: SortKeyToken::read(token.first)?,
            second: SortKeyToken::read(token.second)?,
            id: MergeRequestId(token.id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::GetDeploymentRequest;

    fn query(id: i64) -> Query {
        Query::new(
            "List",
            &GetDeploymentRequest {
                project: None,
                deployment_id: id,
            },
        )
    }

    #[test]
    fn a_token_leads_back_to_its_position() {
        let time = DateTime::from_timestamp_millis(1_470_901_000_222).unwrap();
        for key in [
            PositionKey::None,
            PositionKey::Time(Some(time)),
            PositionKey::Time(None),
            PositionKey::Text("main".into()),
            PositionKey::Text(String::new()),
        ] {
            let position = DeploymentPosition { key, iid: Iid(7) };
            let token = query(1).issue(Some(&position));
            assert_eq!(
                query(1).read::<DeploymentPosition>(&token).unwrap(),
                Some(position)
            );
        }
    }

    #[test]
    fn a_token_leads_back_to_its_place_among_merge_requests() {
        let keys = [
            SortKey::Nothing,
            SortKey::Number(0),
            SortKey::Number(-1),
            SortKey::Text(String::new()),
            SortKey::Text("über".into()),
        ];
        for first in &keys {
            for second in &keys {
                let position = MergeRequestPosition {
                    first: first.clone(),
                    second: second.clone(),
                    id: MergeRequestId(7),
                };
                let token = query(1).issue(Some(&position));
                assert_eq!(query(1).read(&token).unwrap(), Some(position));
            }
        }
    }

    #[test]
    fn a_token_of_another_query_or_with_one_altered_character_is_refused() {
        let token = query(1).issue(Some(&IdPosition(42)));
        assert_eq!(query(1).read(&token).unwrap(), Some(IdPosition(42)));
        assert!(query(2).read::<IdPosition>(&token).is_err());
        for place in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(query(1).read::<IdPosition>(&altered).is_err(), "{altered}");
        }
        for garbage in ["x", "====", "🎉", "AAAA", &"A".repeat(100_000)] {
            assert_eq!(
                query(1).read::<IdPosition>(garbage).unwrap_err().reason(),
                Reason::InvalidPageToken
            );
        }
    }

    #[test]
    fn a_resume_token_leads_back_to_its_positions_and_foreign_altered_or_cut_it_is_refused() {
        for seqs in [vec![], vec![0], vec![7, 0, i64::MAX]] {
            let positions = LogPositions { seqs };
            let token = query(1).issue(Some(&positions));
            assert_eq!(query(1).read_resume(&token).unwrap(), Some(positions));
            assert!(query(2).read_resume::<LogPositions>(&token).is_err());
            for place in 0..token.len() {
                let mut altered = token.clone().into_bytes();
                altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
                for bad in [String::from_utf8(altered).unwrap(), token[..place].to_owned()] {
                    match query(1).read_resume::<LogPositions>(&bad) {
                        Ok(read) => assert!(bad.is_empty() && read.is_none(), "{bad}"),
                        Err(refusal) => assert_eq!(refusal.reason(), Reason::InvalidResumeToken),
                    }
                }
            }
        }
    }
}
