//! The accounts from outside: a real data directory, opened by one or more "processes".

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokenmill_accounts::{
    Accounts, AuthError, Caller, Claimed, Clock, ConfiguredModel, KeyError, KeyRequest, KeySecret,
    ManageError, ModelEntry, Nanos, OpenError, Outcome, Price, Project, Room, Sending, Timestamp,
};

/// A clock that stands still until it is set.
#[derive(Clone, Default)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn open(dir: &Path) -> Accounts {
    Accounts::open(dir).await.expect("the directory is good")
}

/// An opened directory after its first start.
async fn started(dir: &Path) -> (Accounts, KeySecret) {
    let accounts = open(dir).await;
    let first = accounts.ensure_first().await.expect("the database is new");
    (accounts, first.key.expect("a first start makes a key"))
}

async fn authenticate(accounts: &Accounts, key: &KeySecret) -> Result<Arc<Caller>, AuthError> {
    accounts.authenticate(key.expose(), None).await
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_the_second_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, key) = started(dir.path()).await;
    let caller = authenticate(&accounts, &key).await.unwrap();
    assert_eq!(caller.key_id, key.id());
    assert_eq!(caller.team.name, "default");
    assert_eq!(caller.project.name, "inference");
    accounts.close().await;

    let accounts = open(dir.path()).await;
    let second = accounts.ensure_first().await.unwrap();
    assert!(second.key.is_none());
    assert_eq!(
        (second.team.as_str(), second.project.as_str()),
        ("default", "inference")
    );
    assert_eq!(authenticate(&accounts, &key).await.unwrap(), caller);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_first_starts_at_once_one_makes_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let starts = (0..8).map(|_| {
        let dir = dir.path().to_owned();
        tokio::spawn(async move {
            let accounts = open(&dir).await;
            let key = accounts.ensure_first().await.unwrap().key;
            (accounts, key)
        })
    });
    let mut all = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        all.push(start.await.unwrap());
    }
    let keys: Vec<_> = all.iter().filter_map(|(_, key)| key.clone()).collect();
    assert_eq!(keys.len(), 1);
    for (accounts, _) in &all {
        authenticate(accounts, &keys[0])
            .await
            .expect("all share one secret and one database");
    }
}

#[tokio::test]
async fn each_way_of_being_wrong_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, key) = started(dir.path()).await;
    let refused = async |key: &str| accounts.authenticate(key, None).await.unwrap_err();

    assert!(matches!(refused("").await, AuthError::MissingKey));
    assert!(matches!(refused("sk-1234").await, AuthError::MalformedKey));
    let mistyped = key.expose().replace("tm-", "tn-");
    assert!(matches!(refused(&mistyped).await, AuthError::MalformedKey));

    let elsewhere = tempfile::tempdir().unwrap();
    let (_other, foreign) = started(elsewhere.path()).await;
    assert!(matches!(refused(foreign.expose()).await, AuthError::UnknownKey));
    // Asked again, the answer comes from memory.
    assert!(matches!(refused(foreign.expose()).await, AuthError::UnknownKey));
}

#[tokio::test]
async fn a_revocation_by_another_process_holds_from_the_next_request_on() {
    let dir = tempfile::tempdir().unwrap();
    let (server, key) = started(dir.path()).await;
    let command = open(dir.path()).await;
    for _ in 0..3 {
        let made = command
            .create_key(
                "test",
                &KeyRequest {
                    name: "laptop".into(),
                    ..KeyRequest::default()
                },
            )
            .await
            .unwrap();
        // The server has asked for this key before, and knows it.
        authenticate(&server, &made.secret)
            .await
            .expect("a new key works at once");
        let revoked = command.revoke_key("test", made.secret.id(), false).await.unwrap();
        assert!(revoked.revoked_at.is_some());
        assert!(matches!(
            authenticate(&server, &made.secret).await,
            Err(AuthError::RevokedKey)
        ));
        authenticate(&server, &key)
            .await
            .expect("the other key is as it was");
    }
}

#[tokio::test]
async fn a_key_is_refused_from_the_moment_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let accounts = Accounts::open_with(dir.path(), None, Arc::new(clock.clone()))
        .await
        .unwrap();
    accounts.ensure_first().await.unwrap();
    let expires_at = Some(accounts.now().after(Duration::from_secs(60)));
    let request = KeyRequest {
        name: "short".into(),
        person: None,
        expires_at,
        ..KeyRequest::default()
    };
    let key = accounts.create_key("test", &request).await.unwrap().secret;
    authenticate(&accounts, &key).await.expect("not yet");
    clock.0.store(59_999, Ordering::SeqCst);
    authenticate(&accounts, &key).await.expect("not yet");
    clock.0.store(60_000, Ordering::SeqCst);
    assert!(matches!(
        authenticate(&accounts, &key).await,
        Err(AuthError::ExpiredKey)
    ));
}

#[tokio::test]
async fn projects_are_found_and_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, key) = started(dir.path()).await;
    let with = async |project: &str| accounts.authenticate(key.expose(), Some(project)).await;

    let caller = with("default/inference").await.unwrap();
    assert_eq!(caller, authenticate(&accounts, &key).await.unwrap());
    for _ in 0..2 {
        assert!(matches!(
            with("default/other").await,
            Err(AuthError::UnknownProject)
        ));
        assert!(matches!(
            with("nobody/inference").await,
            Err(AuthError::UnknownTeam)
        ));
    }
    for malformed in ["", "inference", "a/b/c", "default/", "default/in ference"] {
        assert!(
            matches!(with(malformed).await, Err(AuthError::MalformedProject)),
            "{malformed:?}"
        );
    }
    let unknown_key = accounts.authenticate("sk-1", Some("a/b/c")).await;
    assert!(
        matches!(unknown_key, Err(AuthError::MalformedKey)),
        "the key is looked at first"
    );
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets_and_revoked_by_id_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, first) = started(dir.path()).await;
    let made = accounts
        .create_key(
            "test",
            &KeyRequest {
                name: "ci".into(),
                ..KeyRequest::default()
            },
        )
        .await
        .unwrap();
    let keys = accounts.list_keys().await.unwrap();
    assert_eq!(
        keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(),
        ["first key", "ci"]
    );
    assert_eq!(keys[1], made.info);
    assert!(made.secret.expose().ends_with(&keys[1].last_four));
    assert!(!format!("{keys:?}").contains(&made.secret.expose()[17..]));

    accounts
        .revoke_key("test", made.secret.expose(), false)
        .await
        .unwrap();
    let at = accounts
        .revoke_key("test", &format!("tm-{}", first.id()), false)
        .await
        .unwrap()
        .revoked_at;
    assert_eq!(
        accounts
            .revoke_key("test", first.id(), false)
            .await
            .unwrap()
            .revoked_at,
        at,
        "the first date is kept"
    );
    assert!(matches!(
        accounts.revoke_key("test", "nothing", false).await,
        Err(KeyError::UnknownKey(id)) if id == "nothing"
    ));
    let mistyped = format!("{}x", made.secret.expose());
    assert!(
        matches!(
            accounts.revoke_key("test", &mistyped, false).await,
            Err(KeyError::UnknownKey(id)) if id == made.secret.id()
        ),
        "a key that is mistyped is not shown again"
    );
}

#[tokio::test]
async fn a_key_cannot_be_made_for_nobody_or_without_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = open(dir.path()).await;
    let named = |name: &str| KeyRequest {
        name: name.into(),
        ..KeyRequest::default()
    };
    assert!(matches!(
        accounts.create_key("test", &named("a")).await,
        Err(KeyError::NoPeople)
    ));
    accounts.ensure_first().await.unwrap();
    for bad in ["", "a\nb", &"x".repeat(101)] {
        assert!(
            matches!(
                accounts.create_key("test", &named(bad)).await,
                Err(KeyError::BadName)
            ),
            "{bad:?}"
        );
    }
    let unknown = KeyRequest {
        person: Some("eve".into()),
        ..named("a")
    };
    assert!(matches!(
        accounts.create_key("test", &unknown).await,
        Err(KeyError::UnknownPerson(_))
    ));
}

#[tokio::test]
async fn a_lost_or_exchanged_server_secret_is_an_error_and_not_a_directory_of_unknown_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, _) = started(dir.path()).await;
    accounts.close().await;
    let secret = dir.path().join("server-secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    assert!(matches!(
        Accounts::open(dir.path()).await,
        Err(OpenError::WrongSecret(_))
    ));
    std::fs::remove_file(&secret).unwrap();
    assert!(matches!(
        Accounts::open(dir.path()).await,
        Err(OpenError::WrongSecret(_))
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_enter_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let (_accounts, key) = started(&data).await;
    assert_eq!(
        std::fs::metadata(&data).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for file in std::fs::read_dir(&data).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = &key.expose().as_bytes()[16..];
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret),
            "the key is in no file"
        );
    }
}

#[tokio::test]
async fn cache_scopes_differ_by_project_and_salt_and_server() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (accounts, key) = started(one.path()).await;
    let (elsewhere, _) = started(two.path()).await;
    let project = authenticate(&accounts, &key).await.unwrap().project.clone();
    let mut other = project.clone();
    other.id.push('x');
    let scope = accounts.cache_scope(&project, Some("salt"));
    assert_eq!(scope, accounts.cache_scope(&project, Some("salt")));
    assert_ne!(scope, accounts.cache_scope(&project, None));
    assert_ne!(scope, accounts.cache_scope(&other, Some("salt")));
    assert_ne!(scope, elsewhere.cache_scope(&project, Some("salt")));
}

/// Not a test of speed; prints what a request pays for its key.
#[tokio::test]
async fn a_known_key_is_authenticated_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, key) = started(dir.path()).await;
    let n = 2_000;
    let start = std::time::Instant::now();
    for _ in 0..n {
        authenticate(&accounts, &key).await.unwrap();
    }
    eprintln!("{:?} each", start.elapsed() / n);
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_or_old_or_its_key_is_revoked() {
    const HOUR_MS: i64 = 3_600_000;
    let dir = tempfile::tempdir().expect("a folder");
    let clock = TestClock::default();
    let opened = Accounts::open_with(dir.path(), None, Arc::new(clock.clone())).await;
    let accounts = opened.expect("the directory is good");
    accounts.ensure_first().await.expect("the database is new");
    let (_, token) = accounts
        .first_invitation()
        .await
        .expect("readable")
        .expect("invited");
    let session = accounts.accept_invitation(token.expose(), "correct horse").await;
    let session = session.expect("the invitation is good");
    let is_over = async |token: &str| {
        let caller = accounts.session(token, None).await;
        matches!(caller, Err(AuthError::UnknownSession))
    };
    assert!(!is_over(session.expose()).await);
    // Used every eleven hours, it is never idle, and yet ends after a week.
    let mut hours = 0;
    while !is_over(session.expose()).await {
        hours += 11;
        clock.0.store(hours * HOUR_MS, Ordering::SeqCst);
    }
    assert_eq!(hours, 176);
    let session = accounts
        .sign_in("admin", "correct horse", "here")
        .await
        .expect("right");
    clock.0.store((hours + 13) * HOUR_MS, Ordering::SeqCst);
    assert!(is_over(session.expose()).await, "idle for thirteen hours");
    let session = accounts
        .sign_in("admin", "correct horse", "here")
        .await
        .expect("right");
    let caller = accounts.session(session.expose(), None).await.expect("good");
    accounts
        .revoke_key("test", &caller.key_id, false)
        .await
        .expect("there");
    assert!(is_over(session.expose()).await, "its key is revoked");
    let session = accounts
        .sign_in("admin", "correct horse", "here")
        .await
        .expect("right");
    let again = accounts
        .session(session.expose(), None)
        .await
        .expect("another key");
    assert_ne!(again.key_id, caller.key_id);
    let late = accounts.invite("test", "admin").await.expect("there");
    clock.0.store((hours + 14 + 7 * 24) * HOUR_MS, Ordering::SeqCst);
    let accepted = accounts.accept_invitation(late.expose(), "battery staple").await;
    assert!(accepted.is_err(), "the invitation is a week old");
}

#[tokio::test]
async fn what_a_team_keeps_gets_versions_and_is_its_own() {
    use tokenmill_accounts::{SavedKind, Tier};
    let dir = tempfile::tempdir().expect("a folder");
    let (accounts, key) = started(dir.path()).await;
    let caller = accounts.authenticate(key.expose(), None).await.expect("good");
    let save = async |kind, body: &str| {
        let saved = accounts
            .save(&caller.team, &caller.person, kind, "jokes", body)
            .await;
        saved.expect("kept")
    };
    let first = save(SavedKind::Prompt, "[1]").await;
    let second = save(SavedKind::Prompt, "[2]").await;
    let preset = save(SavedKind::Preset, "[3]").await;
    assert_eq!((first.version, second.version, preset.version), (1, 2, 1));
    let listed = accounts
        .saved(&caller.team, SavedKind::Prompt)
        .await
        .expect("readable");
    assert_eq!(listed.len(), 2);
    accounts
        .create_team("test", "blue", Tier::Free)
        .await
        .expect("new");
    let teams = accounts.teams().await.expect("readable");
    let blue = teams.into_iter().find(|team| team.name == "blue").expect("made");
    let blue = tokenmill_accounts::Team {
        id: blue.id,
        name: blue.name,
    };
    assert!(
        accounts
            .saved_body(&blue, &first.id)
            .await
            .expect("readable")
            .is_none()
    );
    assert!(!accounts.delete_saved(&blue, &first.id).await.expect("writable"));
    let (_, body) = accounts
        .saved_body(&caller.team, &first.id)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(body, "[1]");
    assert!(
        accounts
            .delete_saved(&caller.team, &first.id)
            .await
            .expect("writable")
    );
}

/// A model as the configuration file lists it.
fn configured(id: &str, title: &str, input: Option<i64>) -> ConfiguredModel {
    ConfiguredModel {
        entry: ModelEntry {
            id: id.into(),
            title: title.into(),
            ..ModelEntry::default()
        },
        price: input.map(|input| Price {
            input: Nanos(input),
            ..Price::default()
        }),
    }
}

/// What a token of a prompt costs now, and what the model is called.
async fn catalogue_says(accounts: &Accounts, id: &str) -> (i64, String) {
    let catalogue = accounts.read_catalogue().await.expect("readable");
    let title = catalogue.model(id).map(|entry| entry.title.clone());
    (
        catalogue.price(id, accounts.now()).input.0,
        title.unwrap_or_default(),
    )
}

#[tokio::test]
async fn the_configuration_file_makes_a_version_where_something_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let opened = Accounts::open_with(dir.path(), None, Arc::new(clock.clone())).await;
    let accounts = opened.expect("the directory is good");
    let n_versions = async |listed: &[ConfiguredModel]| {
        accounts.configure_models(listed).await.unwrap();
        clock.0.fetch_add(1, Ordering::SeqCst);
        let audit = accounts.audit(100).await.unwrap();
        let by_file = audit
            .iter()
            .filter(|change| change.actor == "the configuration file");
        by_file.count()
    };
    let [a, b] = [configured("a", "A", Some(7)), configured("b", "B", None)];
    assert_eq!(
        n_versions(&[a.clone(), b.clone()]).await,
        3,
        "two entries and a price"
    );
    assert_eq!(n_versions(&[a, b.clone()]).await, 3, "nothing new");
    assert_eq!(
        n_versions(&[configured("a", "A", Some(9)), b]).await,
        4,
        "a price"
    );
    assert_eq!(catalogue_says(&accounts, "a").await, (9, "A".into()));
}

#[tokio::test]
async fn the_configuration_file_has_the_last_word_about_the_models_that_it_lists() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = open(dir.path()).await;
    let listed = [configured("a", "A", Some(7)), configured("b", "B", None)];
    accounts.configure_models(&listed).await.unwrap();
    let other = configured("a", "Another", Some(8));
    let price = other.price.unwrap();
    let entry = accounts.set_model("somebody", &other.entry).await;
    let priced = accounts.set_price("somebody", "a", price, None).await;
    for refused in [entry.unwrap_err(), priced.unwrap_err()] {
        assert!(matches!(refused, ManageError::Configured(_)), "{refused}");
    }
    // It says nothing of this price, and nothing of this model.
    accounts.set_price("somebody", "b", price, None).await.unwrap();
    let free = configured("c", "C", None).entry;
    accounts.set_model("somebody", &free).await.unwrap();
    accounts.configure_models(&listed).await.unwrap();
    assert_eq!(catalogue_says(&accounts, "b").await, (8, "B".into()));
    // Out of the file, it stays as it was, and is free.
    accounts.configure_models(&[]).await.unwrap();
    assert_eq!(catalogue_says(&accounts, "a").await, (7, "A".into()));
    accounts.set_model("somebody", &other.entry).await.unwrap();
    accounts.configure_models(&listed).await.unwrap();
    assert_eq!(catalogue_says(&accounts, "a").await, (7, "A".into()));
}

/// More than most of these tests need.
const ROOM: Room = Room {
    max_keys: 100,
    max_bytes: 1 << 20,
};

fn sending<'a>(project: &'a Project, key: &'a str, credential: &'a str) -> Sending<'a> {
    Sending {
        project,
        key,
        credential,
        parts: &[b"body"],
    }
}

/// Lets a request run under a key and keeps its answer.
async fn keep(accounts: &Accounts, sending: Sending<'_>, body: &[u8], room: Room) {
    let claimed = accounts.claim(&sending, room).await;
    let Ok(Claimed::Fresh(claim)) = claimed else {
        panic!("{claimed:?}")
    };
    let outcome = Outcome {
        usage_id: Some(sending.key.into()),
        content_type: "text/plain".into(),
        body: body.to_vec(),
    };
    let concluded = accounts.conclude(&claim, Some(sending.key), Some(&outcome), room);
    concluded.await.expect("the database is there");
}

#[tokio::test]
async fn an_answer_is_for_its_caller_alone_and_in_no_file_to_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (accounts, key) = started(dir.path()).await;
    let project = authenticate(&accounts, &key).await.unwrap().project.clone();
    let body = b"an answer that nobody else is to read";
    keep(&accounts, sending(&project, "k", "mine"), body, ROOM).await;
    let again = async |credential| {
        let sending = sending(&project, "k", credential);
        accounts.claim(&sending, ROOM).await.unwrap()
    };
    assert!(matches!(again("mine").await, Claimed::Done(outcome) if outcome.body == body));
    assert_eq!(again("theirs").await, Claimed::Different);
    accounts.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() {
            std::fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let has_piece = bytes.windows(8).any(|window| body.starts_with(window));
        assert!(!has_piece, "{}", path.display());
    }
}

#[tokio::test]
async fn a_project_keeps_only_so_many_keys_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let opened = Accounts::open_with(dir.path(), None, Arc::new(clock.clone())).await;
    let accounts = opened.expect("the directory is good");
    let key = accounts.ensure_first().await.unwrap().key.expect("made now");
    let project = authenticate(&accounts, &key).await.unwrap().project.clone();
    let room = Room {
        max_keys: 4,
        // Three sealed answers, not four.
        max_bytes: 3_500,
    };
    for name in ["a", "b", "c", "d"] {
        keep(&accounts, sending(&project, name, "mine"), &[b'~'; 1_000], room).await;
        clock.0.fetch_add(1, Ordering::SeqCst);
    }
    let again = async |project, name| {
        let sending = sending(project, name, "mine");
        accounts.claim(&sending, room).await.unwrap()
    };
    let made_room = again(&project, "a").await;
    assert_eq!(made_room, Claimed::Spent(Some("a".into())), "the oldest");
    assert!(matches!(again(&project, "b").await, Claimed::Done(_)));
    let first_ends = Timestamp::from_millis(24 * 60 * 60 * 1000);
    assert_eq!(again(&project, "e").await, Claimed::Full(first_ends));
    let mut elsewhere = project.clone();
    elsewhere.id.push('x');
    assert!(matches!(again(&elsewhere, "e").await, Claimed::Fresh(_)));
}

#[tokio::test]
async fn a_claimed_key_is_free_again_only_after_a_day_or_where_it_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let open = async || {
        let opened = Accounts::open_with(dir.path(), None, Arc::new(clock.clone())).await;
        opened.expect("the directory is good")
    };
    let accounts = open().await;
    let first = accounts.ensure_first().await.unwrap();
    let key = first.key.expect("a first start makes a key");
    let project = authenticate(&accounts, &key).await.unwrap().project.clone();
    let ledger = accounts.start_ledger().await.expect("nobody else is here");
    let claim = async |accounts: &Accounts, body: &[u8]| {
        let parts = [body];
        let sending = Sending {
            project: &project,
            key: "k",
            credential: "mine",
            parts: &parts,
        };
        let claimed = accounts.claim(&sending, ROOM).await;
        claimed.expect("the database is there")
    };
    let Claimed::Fresh(mine) = claim(&accounts, b"a").await else {
        panic!("nobody has it");
    };
    assert_eq!(claim(&accounts, b"a").await, Claimed::Running);
    assert_eq!(claim(&accounts, b"b").await, Claimed::Different);
    accounts.release(&mine).await.unwrap();
    let Claimed::Fresh(again) = claim(&accounts, b"b").await else {
        panic!("it was given back");
    };
    // Who gave it up has no more say.
    accounts.conclude(&mine, Some("x"), None, ROOM).await.unwrap();
    assert_eq!(claim(&accounts, b"b").await, Claimed::Running);
    // The server ends without a word, and starts again.
    drop((ledger, accounts));
    let accounts = open().await;
    let _ledger = accounts.start_ledger().await.expect("the other one is gone");
    assert_eq!(claim(&accounts, b"b").await, Claimed::Spent(None));
    let outcome = Outcome {
        usage_id: Some("u".into()),
        content_type: "application/json".into(),
        body: b"{}".to_vec(),
    };
    accounts
        .conclude(&again, Some("u"), Some(&outcome), ROOM)
        .await
        .unwrap();
    assert_eq!(claim(&accounts, b"b").await, Claimed::Done(outcome));
    clock.0.store(24 * 60 * 60 * 1000, Ordering::SeqCst);
    assert!(matches!(claim(&accounts, b"c").await, Claimed::Fresh(_)));
}
