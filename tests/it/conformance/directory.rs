//! Users, groups, projects, memberships, shares, tokens.

use gatehouse::{
    domain::{
        access::AccessLevel::{self, Developer, Guest, Maintainer, Minimal, Owner, Reporter},
        directory::{Container, DirectoryChange, Group, NewShare, Standing, UpdateGroup, User, Visibility},
        id::{GroupKey, ProjectId, ProjectKey, UserKey},
        page::PageRequest,
        token::{NewToken, Scope, Secret},
    },
    store::DirectorySelect,
};

use super::{Ledger, at};

async fn share(ledger: &Ledger, container: Container, group: &Group, access_level: AccessLevel) {
    let new = NewShare {
        container,
        group_id: group.id,
        group_full_path: group.full_path.clone(),
        access_level,
    };
    let select = DirectorySelect::User(UserKey::Id(ledger.root.id));
    ledger
        .facts(select, vec![DirectoryChange::ShareCreated(new)])
        .await;
}

async fn standing(ledger: &Ledger, project: ProjectId, user: &User) -> Standing {
    ledger
        .store
        .project_find(&ProjectKey::Id(project), user.id)
        .await
        .unwrap()
        .unwrap()
        .of
        .standing
}

/// Groups `acme/team/sub` with a project; `friends/close`, which things are shared with.
pub async fn a_standing_comes_from_every_way_there_is(ledger: &Ledger) {
    let team = ledger
        .group(Some(&ledger.acme), "team", Visibility::Private)
        .await;
    let sub = ledger.group(Some(&team), "sub", Visibility::Private).await;
    let app = ledger.project(&sub, "app", Visibility::Private).await;
    let friends = ledger.group(None, "friends", Visibility::Private).await;
    let close = ledger.group(Some(&friends), "close", Visibility::Private).await;
    let by = |project, group, shared| Standing {
        project,
        group,
        shared,
    };

    let stranger = ledger.user("stranger").await;
    assert_eq!(standing(ledger, app, &stranger).await, Standing::default());

    let ann = ledger.user("ann").await;
    ledger.member(Container::Project(app), &ann, Guest).await;
    assert_eq!(standing(ledger, app, &ann).await, by(Some(Guest), None, None));
    ledger
        .member(Container::Group(ledger.acme.id), &ann, Developer)
        .await;
    assert_eq!(
        standing(ledger, app, &ann).await,
        by(Some(Guest), Some(Developer), None)
    );
    ledger.member(Container::Group(sub.id), &ann, Reporter).await;
    assert_eq!(
        standing(ledger, app, &ann).await,
        by(Some(Guest), Some(Developer), None),
        "the highest counts"
    );
    assert_eq!(
        standing(ledger, ledger.web, &ann).await,
        by(None, Some(Developer), None)
    );

    // Membership in what is above a group holds in it, in what is below it does not; a share caps it.
    let (bob, cat, dan) = (
        ledger.user("bob").await,
        ledger.user("cat").await,
        ledger.user("dan").await,
    );
    ledger.member(Container::Group(friends.id), &bob, Owner).await;
    ledger.member(Container::Group(close.id), &cat, Guest).await;
    ledger.member(Container::Group(friends.id), &dan, Minimal).await;
    share(ledger, Container::Project(app), &friends, Developer).await;
    assert_eq!(standing(ledger, app, &bob).await, by(None, None, Some(Developer)));
    assert_eq!(standing(ledger, app, &cat).await, Standing::default());
    assert_eq!(standing(ledger, app, &dan).await, by(None, None, Some(Minimal)));
    share(ledger, Container::Group(team.id), &close, Maintainer).await;
    assert_eq!(
        standing(ledger, app, &bob).await,
        by(None, None, Some(Maintainer))
    );
    assert_eq!(standing(ledger, app, &cat).await, by(None, None, Some(Guest)));
    assert_eq!(
        standing(ledger, ledger.web, &bob).await,
        Standing::default(),
        "it is not below what is shared"
    );

    // Shares do not chain: who is let into a group is not let into what that group is let into.
    share(ledger, Container::Group(friends.id), &ledger.acme, Owner).await;
    let eve = ledger.user("eve").await;
    ledger.member(Container::Group(ledger.acme.id), &eve, Owner).await;
    let apart = ledger.group(None, "apart", Visibility::Private).await;
    share(ledger, Container::Group(apart.id), &friends, Owner).await;
    let view = ledger
        .store
        .group_find(&GroupKey::Id(apart.id), eve.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.standing, Standing::default());
    let view = ledger
        .store
        .group_find(&GroupKey::Id(friends.id), eve.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(view.standing.level(), Some(Owner));
}

pub async fn a_rename_reaches_everything_below(ledger: &Ledger) {
    let team = ledger
        .group(Some(&ledger.acme), "team", Visibility::Private)
        .await;
    let app = ledger.project(&team, "app", Visibility::Private).await;
    // Another whose name begins alike.
    let acmes = ledger.group(None, "acmes", Visibility::Private).await;
    let update = UpdateGroup {
        name: Some("Acme % Co".into()),
        ..UpdateGroup::default()
    };
    let changes = ledger.acme.update(&update).unwrap();
    ledger
        .facts(DirectorySelect::Group(GroupKey::Id(ledger.acme.id)), changes)
        .await;
    let name = async |id| {
        ledger
            .store
            .group_find(&GroupKey::Id(id), ledger.root.id)
            .await
            .unwrap()
            .unwrap()
            .group
            .full_name
    };
    assert_eq!(name(ledger.acme.id).await, "Acme % Co");
    assert_eq!(name(team.id).await, "Acme % Co / team");
    assert_eq!(name(acmes.id).await, "acmes");
    let view = ledger
        .store
        .project_find(&ProjectKey::Id(app), ledger.root.id)
        .await
        .unwrap()
        .unwrap()
        .of;
    assert_eq!(view.project.full_name(), "Acme % Co / team / app");
    assert_eq!(view.project.full_path, "acme/team/app", "the path stays");
}

pub async fn lists_hold_what_the_viewer_may_see(ledger: &Ledger) {
    let mut made = Vec::new();
    for (name, visibility) in [
        ("private", Visibility::Private),
        ("internal", Visibility::Internal),
        ("public", Visibility::Public),
    ] {
        let group = ledger.group(None, name, visibility).await;
        ledger.project(&group, "app", visibility).await;
        made.push(group);
    }
    let stranger = ledger.user("stranger").await;
    let external = User {
        external: true,
        ..ledger.user("external").await
    };
    let guest = ledger.user("guest").await;
    ledger.member(Container::Group(made[0].id), &guest, Guest).await;
    let minimal = ledger.user("minimal").await;
    ledger
        .member(Container::Group(made[0].id), &minimal, Minimal)
        .await;
    for (viewer, groups, projects) in [
        (
            &ledger.root,
            "acme private internal public",
            "acme/web private/app internal/app public/app",
        ),
        (&stranger, "internal public", "internal/app public/app"),
        (&external, "public", "public/app"),
        (
            &guest,
            "private internal public",
            "private/app internal/app public/app",
        ),
        (&minimal, "private internal public", "internal/app public/app"),
    ] {
        let page = PageRequest {
            want_total: true,
            ..PageRequest::default()
        };
        let listed = ledger.store.group_list(viewer, None, &page).await.unwrap();
        let names: Vec<_> = listed
            .items
            .iter()
            .map(|group| group.full_path.as_str())
            .collect();
        assert_eq!(names.join(" "), groups, "{}", viewer.username);
        assert_eq!(listed.total, Some(i64::try_from(names.len()).unwrap()));
        let page = PageRequest {
            want_total: true,
            ..PageRequest::default()
        };
        let listed = ledger.store.project_list(viewer, None, &page).await.unwrap();
        let names: Vec<_> = listed
            .items
            .iter()
            .map(|project| project.full_path.as_str())
            .collect();
        assert_eq!(names.join(" "), projects, "{}", viewer.username);
        assert_eq!(listed.total, Some(i64::try_from(names.len()).unwrap()));
        let listed = ledger
            .store
            .project_list(viewer, Some(made[2].id), &PageRequest::default())
            .await
            .unwrap();
        assert_eq!(listed.items.len(), 1);
    }
}

pub async fn paths_and_usernames_are_found_whatever_their_case(ledger: &Ledger) {
    let ann = ledger.user("Ann.\u{e9}").await;
    for name in ["Ann.\u{e9}", "ann.\u{c9}", "ANN.\u{c9}"] {
        let found = ledger.store.user_find(&UserKey::Name(name.into())).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ann), "{name}");
    }
    for path in ["acme/web", "ACME/Web"] {
        let found = ledger
            .store
            .project_find(&ProjectKey::Path(path.into()), ann.id)
            .await
            .unwrap();
        assert_eq!(found.unwrap().of.project.id, ledger.web);
    }
    for path in ["acme/we_", "acme/%", "acme", "web", ""] {
        assert_eq!(
            ledger
                .store
                .project_find(&ProjectKey::Path(path.into()), ann.id)
                .await
                .unwrap(),
            None
        );
    }
    assert!(
        ledger
            .store
            .group_find(&GroupKey::Path("ACME".into()), ann.id)
            .await
            .unwrap()
            .is_some()
    );
}

pub async fn a_token_is_found_touched_listed_and_revoked(ledger: &Ledger) {
    let ann = ledger.user("ann").await;
    let secret = Secret::presented("ann's");
    let new = NewToken {
        user_id: ann.id,
        name: "ci".into(),
        scopes: vec![Scope::ReadApi, Scope::Api],
        hash: secret.hash(),
        expires_at: Some(at(1_000)),
        deployment: None,
    };
    let select = DirectorySelect::User(UserKey::Id(ann.id));
    let made = ledger
        .facts(select.clone(), vec![DirectoryChange::TokenCreated(new)])
        .await
        .token
        .unwrap();
    let find = async || {
        let found = ledger.store.token_find(&secret.hash()).await.unwrap();
        found.map(|found| found.of)
    };
    assert_eq!(find().await, Some((made.clone(), ann.clone())));
    assert_eq!(
        (made.scopes.len(), made.expires_at, made.last_used_at),
        (2, Some(at(1_000)), None)
    );
    assert_eq!(
        ledger
            .store
            .token_find(&Secret::presented("other").hash())
            .await
            .unwrap(),
        None
    );
    ledger.store.token_touch(made.id, at(5)).await.unwrap();
    let touched = find().await.unwrap().0;
    assert_eq!(touched.last_used_at, Some(at(5)));
    let list = async |user| {
        ledger
            .store
            .token_list(user, &PageRequest::default())
            .await
            .unwrap()
            .items
    };
    assert_eq!(list(ann.id).await, std::slice::from_ref(&touched));
    assert_eq!(list(ledger.root.id).await.len(), 1);
    let changes = touched.revoke(&ann, at(6)).unwrap();
    ledger.facts(DirectorySelect::Token(made.id), changes).await;
    assert_eq!(find().await.unwrap().0.revoked_at, Some(at(6)));
    ledger
        .facts(select, vec![DirectoryChange::UserDeleted(ann)])
        .await;
    assert_eq!(find().await, None);
}

pub async fn the_first_administrator_is_made_once(ledger: &Ledger) {
    assert!(ledger.root.admin);
    let another = Secret::presented("another");
    assert_eq!(
        ledger.store.bootstrap(&another.hash(), at(1)).await.unwrap(),
        None
    );
    assert_eq!(ledger.store.token_find(&another.hash()).await.unwrap(), None);
    let (token, user) = ledger
        .store
        .token_find(&Secret::presented("root's").hash())
        .await
        .unwrap()
        .unwrap()
        .of;
    assert_eq!((user, token.expires_at), (ledger.root.clone(), None));
    ledger.store.ping().await.unwrap();
}
