//! Reading a project's event log, page by page.

use super::App;
use crate::domain::{
    access::{Caller, ProjectAction},
    error::Error,
    event::{Event, EventFilter},
    id::ProjectKey,
    page::{Page, PageRequest},
};

/// How many events are looked at for one page: a filter that lets little through must not read a whole log at once.
const EXAMINED: i64 = 1_000;

impl App {
    /// A page of a project's events. A position is the number of the last event looked at; a page may be short, even
    /// empty, though more follow.
    pub async fn event_list(
        &self,
        caller: &Caller,
        project: &ProjectKey,
        filter: &EventFilter,
        page: &PageRequest<i64>,
    ) -> Result<Page<Event, i64>, Error> {
        let view = self
            .project_for(caller, project, ProjectAction::ReadDeployment)
            .await?;
        let examined = if filter.is_open() { page.size } else { EXAMINED };
        let after = page.after.unwrap_or(0);
        // One more tells whether more follow.
        let page_of_log = self
            .reading(caller, Some(view.project.id))
            .await
            .event_list(view.project.id, after, examined + 1)
            .await?;
        Ok(cut(page_of_log.events, filter, page.size, examined))
    }
}

/// The page of up to `size` wanted events among the first `examined`.
fn cut(events: Vec<Event>, filter: &EventFilter, size: i64, examined: i64) -> Page<Event, i64> {
    let limit = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let found = events.len();
    let mut seen = 0;
    let mut last = None;
    let mut items = Vec::new();
    for event in events.into_iter().take(limit(examined)) {
        if items.len() == limit(size) {
            break;
        }
        seen += 1;
        last = Some(event.seq);
        if filter.matches(&event) {
            items.push(event);
        }
    }
    Page {
        items,
        next: last.filter(|_| seen < found),
        total: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Time,
        event::{EventKind, EventSubject},
        id::{GroupId, ProjectId, UserId},
    };

    fn log(length: i64) -> Vec<Event> {
        let event = |seq| Event {
            project_id: ProjectId(1),
            seq,
            kind: EventKind::ALL[usize::try_from(seq % 2).unwrap()],
            actor_id: UserId(1),
            created_at: Time::UNIX_EPOCH,
            subject: EventSubject::Protection {
                name: String::new(),
                group_id: Some(GroupId(1)),
                required_approval_count: 0,
                deploy_access_levels: 0,
                approval_rules: 0,
            },
        };
        (1..=length).map(event).collect()
    }

    #[test]
    fn a_walk_by_pages_sees_every_wanted_event_once_however_long_the_log() {
        let even = EventFilter {
            kinds: vec![EventKind::ALL[0]],
            ..EventFilter::default()
        };
        let none = EventFilter {
            kinds: vec![EventKind::ALL[5]],
            ..EventFilter::default()
        };
        for length in 0..14 {
            for (filter, size, examined) in [
                (&EventFilter::default(), 3, 3),
                (&even, 2, 5),
                (&even, 5, 5),
                (&none, 2, 5),
                (&even, 1, 1),
            ] {
                let all = log(length);
                let wanted: Vec<i64> = all.iter().filter(|e| filter.matches(e)).map(|e| e.seq).collect();
                let (mut got, mut after) = (Vec::new(), 0);
                loop {
                    let rest = all.iter().filter(|event| event.seq > after).cloned();
                    let read = rest.take(usize::try_from(examined + 1).unwrap()).collect();
                    let page = cut(read, filter, size, examined);
                    assert!(page.items.len() <= usize::try_from(size).unwrap());
                    got.extend(page.items.iter().map(|event| event.seq));
                    let Some(next) = page.next else { break };
                    assert!(next > after && next < length, "{next} behind {after} of {length}");
                    after = next;
                }
                assert_eq!(got, wanted, "{filter:?} {size} {examined} {length}");
            }
        }
    }
}
