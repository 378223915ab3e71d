//! Texts that no store takes well, in every field of every call.

use std::collections::BTreeMap;

use gatehouse::pb;
use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::support::{
    Client, World,
    engine::{Engine, on_both_engines},
    job::draft,
    project_id,
};

on_both_engines! {
    a_nul_is_refused_in_every_text_of_every_call_and_changes_nothing
}

/// Sends bytes, and takes whatever comes for an answer.
#[derive(Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

/// Sends a message, and waits for the first answer.
async fn call(client: Client, method: &MethodDescriptor, message: &DynamicMessage) -> Result<(), Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut grpc = tonic::client::Grpc::new(client);
    grpc.ready().await.unwrap();
    let request = Request::new(message.encode_to_vec());
    let answer = grpc
        .server_streaming(request, path.parse().unwrap(), Bytes)
        .await?;
    answer.into_inner().message().await.map(drop)
}

/// The ways from a message to each text in it, and to each text in the messages in it.
fn texts(message: &MessageDescriptor, way: &[FieldDescriptor], found: &mut Vec<Vec<FieldDescriptor>>) {
    for field in message.fields() {
        let way = [way, std::slice::from_ref(&field)].concat();
        match field.kind() {
            Kind::String => found.push(way),
            Kind::Message(inner) => texts(&inner, &way, found),
            _ => {}
        }
    }
}

/// A message that is as full as can be, but for what is an alternative to the text at the end of the way, and holds `text`
/// there.
fn message(
    descriptor: &MessageDescriptor,
    project: i64,
    way: &[FieldDescriptor],
    text: &str,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let target = way.first();
    for field in descriptor.fields() {
        let is_target = Some(&field) == target;
        let is_alternative = field.containing_oneof().is_some_and(|choice| {
            let first = choice.fields().next();
            match target.filter(|target| target.containing_oneof().as_ref() == Some(&choice)) {
                Some(_) => !is_target,
                None => first.as_ref() != Some(&field),
            }
        });
        // A deployment of a job has the job's status.
        let of_job = target.is_some_and(|target| target.name() == "job");
        let unfit = if of_job {
            field.name() == "status"
        } else {
            field.name() == "job"
        };
        if is_alternative || unfit {
            continue;
        }
        let further = if is_target { &way[1..] } else { &[] };
        let Some(value) = value(&field, project, further, is_target.then_some(text)) else {
            continue;
        };
        message.set_field(
            &field,
            if field.is_list() {
                Value::List(vec![value])
            } else {
                value
            },
        );
    }
    message
}

fn value(
    field: &FieldDescriptor,
    project: i64,
    way: &[FieldDescriptor],
    text: Option<&str>,
) -> Option<Value> {
    Some(match field.kind() {
        Kind::Message(inner) => Value::Message(message(&inner, project, way, text.unwrap_or_default())),
        Kind::String => Value::String(match (text, field.name()) {
            (Some(text), _) => text.to_owned(),
            (None, "sha" | "id") => "a".repeat(40),
            (None, "username") => "root".to_owned(),
            (None, "environment" | "name") => "production".to_owned(),
            (None, "ref") => "main".to_owned(),
            // Texts without which a call is as well.
            (None, _) => return None,
        }),
        Kind::Int64 => Value::I64(if field.name() == "id" { project } else { 1 }),
        Kind::Int32 => Value::I32(1),
        Kind::Enum(kind) => Value::EnumNumber(kind.values().nth(1)?.number()),
        _ => return None,
    })
}

async fn a_nul_is_refused_in_every_text_of_every_call_and_changes_nothing(engine: Engine) {
    let world = World::new(engine).await;
    let announced = pb::v1::CreateDeploymentRequest {
        job: Some(draft(1, pb::v1::JobStatus::Running)),
        ..world.deployment("production", pb::v1::DeploymentStatus::Unspecified)
    };
    let mut deployments = world.server.deployments(&world.server.root);
    deployments.create_deployment(announced).await.unwrap();
    let before = last_event(&world).await;
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let mut wrong = BTreeMap::new();
    let mut asked = 0;
    for service in pool
        .services()
        .filter(|service| service.full_name().starts_with("gatehouse."))
    {
        for method in service.methods() {
            let mut ways = Vec::new();
            texts(&method.input(), &[], &mut ways);
            for way in ways {
                for text in ["a\0b", "\0"] {
                    let message = message(&method.input(), world.project.id, &way, text);
                    let answer = call(world.server.client(&world.server.root), &method, &message).await;
                    let names: Vec<_> = way.iter().map(FieldDescriptor::name).collect();
                    asked += 1;
                    let last = names.last().unwrap();
                    let refused = match &answer {
                        Ok(()) => false,
                        // These are no texts to the store; what they are compared with is another.
                        Err(_) if ["etag", "page_token", "resume_token"].contains(last) => true,
                        Err(status) => {
                            [Code::InvalidArgument, Code::NotFound].contains(&status.code())
                                && String::from_utf8_lossy(status.details()).contains(last)
                        }
                    };
                    if !refused {
                        wrong.insert(format!("{} {} {text:?}", method.name(), names.join(".")), answer);
                    }
                }
            }
        }
    }
    assert!(asked > 300, "{asked}");
    assert!(wrong.is_empty(), "{asked} {wrong:#?}");
    assert_eq!(last_event(&world).await, before);
}

/// How many events the project's log holds.
async fn last_event(world: &World) -> i64 {
    let request = pb::v1::ListEventsRequest {
        project: Some(project_id(world.project.id)),
        page_size: 100,
        ..Default::default()
    };
    let answer = world
        .server
        .events(&world.server.root)
        .list_events(request)
        .await
        .unwrap();
    answer.into_inner().events.last().map_or(0, |event| event.seq)
}
