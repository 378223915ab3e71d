//! Pages and what leads from one to the next (contract 3.5).

use gatehouse::pb::v1 as pb;

use crate::support::{
    engine::{Engine, connected, on_both_engines},
    rest::{Ask, Reply, Site},
};

on_both_engines! {
    first_middle_last_and_later_pages_have_their_headers
    beyond_ten_thousand_rows_there_are_no_totals
    a_walk_by_links_meets_every_row_once
    a_keyset_page_has_a_cursor_and_no_counters
    a_forged_or_foreign_cursor_is_refused
    no_secret_comes_back_in_a_link
    links_follow_a_proxy_only_where_it_is_trusted_and_the_external_url_always
}

const LIST: &str = "projects/1/deployments";

async fn deployed(engine: Engine, count: usize) -> Site {
    let site = Site::new(engine).await;
    for _ in 0..count {
        site.world.record("qa", pb::DeploymentStatus::Running).await;
    }
    site
}

fn ids(reply: &Reply) -> Vec<i64> {
    reply
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_i64().unwrap())
        .collect()
}

/// Follows a link by its path, as a client does that dialled its host.
async fn follow(site: &Site, url: &str) -> Reply {
    let target = url.strip_prefix("http://localhost:3000").unwrap();
    site.ask("GET", target).await
}

async fn first_middle_last_and_later_pages_have_their_headers(engine: Engine) {
    let site = deployed(engine, 5).await;
    let url = |page: &str| {
        format!("http://localhost:3000/api/v4/{LIST}?id=1&order_by=id&page={page}&per_page=2&sort=asc")
    };
    for (page, rows, prev, next) in [
        ("1", 2, "", "2"),
        ("2", 2, "1", "3"),
        ("3", 1, "2", ""),
        ("4", 0, "", ""),
    ] {
        let listed = site.ask("GET", &format!("{LIST}?per_page=2&page={page}")).await;
        assert_eq!(ids(&listed).len(), rows, "{page}");
        for (name, value) in [
            ("x-page", page),
            ("x-per-page", "2"),
            ("x-prev-page", prev),
            ("x-next-page", next),
            ("x-total", "5"),
            ("x-total-pages", "3"),
        ] {
            assert_eq!(listed.header(name), Some(value), "{name} of page {page}");
        }
        let linked = |number: &str| (!number.is_empty()).then(|| url(number));
        assert_eq!(listed.link("prev"), linked(prev).as_deref(), "{page}");
        assert_eq!(listed.link("next"), linked(next).as_deref(), "{page}");
        assert_eq!(listed.link("first"), Some(url("1").as_str()), "{page}");
        assert_eq!(listed.link("last"), Some(url("3").as_str()), "{page}");
    }
}

async fn beyond_ten_thousand_rows_there_are_no_totals(engine: Engine) {
    let site = deployed(engine, 1).await;
    let place = &site.world.server.place;
    let text = match engine {
        Engine::Sqlite => "SELECT name FROM pragma_table_info('deployments') WHERE name NOT IN ('id', 'iid')",
        Engine::Postgres => {
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'deployments' \
             AND column_name NOT IN ('id', 'iid')"
        }
    };
    let columns: Vec<String> = connected!(place, |store| sqlx::query_scalar(text)
        .fetch_all(&mut store)
        .await
        .unwrap());
    let columns = columns
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    for (upto, total) in [(10_000, Some("10000")), (10_001, None)] {
        let copy = format!(
            "WITH RECURSIVE n(i) AS (SELECT (SELECT max(id) FROM deployments) + 1 UNION ALL SELECT i + 1 FROM n \
             WHERE i < {upto}) INSERT INTO deployments (id, iid, {columns}) SELECT i, i, {columns} FROM n, \
             deployments WHERE id = 1"
        );
        let copy = sqlx::AssertSqlSafe(copy);
        connected!(place, |store| sqlx::query(copy)
            .execute(&mut store)
            .await
            .map(drop)
            .unwrap());
        let listed = site.ask("GET", &format!("{LIST}?page=2&per_page=100")).await;
        assert_eq!(ids(&listed).len(), 100);
        assert_eq!(listed.header("x-total"), total);
        assert_eq!(listed.header("x-total-pages").is_some(), total.is_some());
        assert_eq!(listed.link("last").is_some(), total.is_some());
        assert_eq!(listed.header("x-next-page"), Some("3"));
        assert!(
            listed.link("prev").is_some() && listed.link("next").is_some() && listed.link("first").is_some()
        );
    }
}

async fn a_walk_by_links_meets_every_row_once(engine: Engine) {
    let site = deployed(engine, 7).await;
    for start in [
        "per_page=3",
        "per_page=3&sort=desc&order_by=updated_at&environment=qa&status=running",
        "pagination=keyset&per_page=3&order_by=ref&sort=desc",
        "pagination=keyset&per_page=3&private_token=TOKEN",
    ] {
        let start = start.replace("TOKEN", &site.world.reporter);
        let mut page = site.ask("GET", &format!("{LIST}?{start}")).await;
        assert_eq!(page.status, 200, "{start} {page:?}");
        let mut met = ids(&page);
        while let Some(next) = page.link("next").map(str::to_owned) {
            page = follow(&site, &next).await;
            assert_eq!(page.status, 200, "{next} {page:?}");
            met.extend(ids(&page));
        }
        met.sort_unstable();
        assert_eq!(met, [1, 2, 3, 4, 5, 6, 7], "{start}");
    }
}

async fn a_keyset_page_has_a_cursor_and_no_counters(engine: Engine) {
    let site = deployed(engine, 3).await;
    let first = site
        .ask("GET", &format!("{LIST}?pagination=keyset&per_page=2"))
        .await;
    let cursor = first.header("x-next-cursor").unwrap();
    assert!(
        first.link("next").unwrap().contains(&format!("cursor={cursor}")),
        "{first:?}"
    );
    for absent in ["x-total", "x-total-pages", "x-page", "x-next-page"] {
        assert_eq!(first.header(absent), None, "{absent}");
    }
    let last = site
        .ask(
            "GET",
            &format!("{LIST}?pagination=keyset&per_page=2&cursor={cursor}"),
        )
        .await;
    assert_eq!(
        (ids(&last), last.link("next"), last.header("x-next-cursor")),
        (vec![3], None, Some(""))
    );
}

async fn a_forged_or_foreign_cursor_is_refused(engine: Engine) {
    let site = deployed(engine, 3).await;
    let first = site
        .ask("GET", &format!("{LIST}?pagination=keyset&per_page=2"))
        .await;
    let cursor = first.header("x-next-cursor").unwrap();
    let invalid = (400, r#"{"error":"cursor is invalid"}"#);
    for query in [
        "cursor=forged".to_owned(),
        format!("cursor={cursor}x"),
        format!("cursor=x{cursor}"),
        format!("cursor={cursor}&order_by=ref"),
        format!("cursor={cursor}&sort=desc"),
        format!("cursor={cursor}&environment=prod"),
        "cursor[]=x".to_owned(),
        "cursor=%F0%9F%9A%80".to_owned(),
    ] {
        let refused = site
            .ask("GET", &format!("{LIST}?pagination=keyset&per_page=2&{query}"))
            .await;
        assert_eq!(refused.told(), invalid, "{query}");
    }
}

async fn no_secret_comes_back_in_a_link(engine: Engine) {
    let site = deployed(engine, 3).await;
    let token = &site.world.reporter;
    for name in ["private_token", "access_token", "bearer_token"] {
        for walk in ["page=2", "pagination=keyset"] {
            let target = format!(
                "{LIST}?{name}={token}&job_token=hidden&token=hidden&per_page=1&{walk}&environment=qa"
            );
            let listed = site.send(&Ask::new("GET", &target)).await;
            let link = listed.header("link").unwrap();
            assert!(
                !link.contains(token.as_str()) && !link.contains("hidden"),
                "{link}"
            );
            assert!(
                !link.contains("_token") && link.contains("environment=qa"),
                "{link}"
            );
        }
    }
}

async fn links_follow_a_proxy_only_where_it_is_trusted_and_the_external_url_always(engine: Engine) {
    let site = deployed(engine, 2).await;
    let ask = Ask::new("GET", &format!("{LIST}?per_page=1"))
        .by(&site.world.reporter)
        .header("Host", "inner:8080")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "gate.example");
    let proxied = site.sidecar(|options| options.trust_proxy = true).await;
    let external = site
        .sidecar(|options| {
            options.trust_proxy = true;
            options.external_url = Some("https://public.example/".to_owned());
        })
        .await;
    for (sidecar, base) in [
        (&site.rest, "http://inner:8080/api/v4/"),
        (&proxied, "https://gate.example/api/v4/"),
        (&external, "https://public.example/api/v4/"),
    ] {
        let listed = sidecar.send(&ask).await;
        assert!(listed.link("next").unwrap().starts_with(base), "{listed:?}");
    }
    let hostile = Ask::new("GET", &format!("{LIST}?per_page=1"))
        .by(&site.world.reporter)
        .header("Host", "inner")
        .header("X-Forwarded-Host", "\">; rel=\"next\", <http://evil");
    let listed = proxied.send(&hostile).await;
    assert!(!listed.header("link").unwrap().contains("evil"), "{listed:?}");
}
