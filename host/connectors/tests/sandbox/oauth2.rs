//! Access tokens: fetched once for all, renewed in time, kept over reloads, and honest errors when there is none.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use usher_connectors::{
    Connector as _, FixedSecrets, Generation, Kept, PLACEHOLDER_BYTES, SecretString, Secrets,
};
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::{SecretReference, Target, parse};

use crate::peer::{Answer, Asked, Peer, answer};
use crate::support::{login, sandbox, write};

/// A target with `lines` in its `oauth2`, whose connector makes one request.
fn target(api: &Peer, tokens: &Peer, method: &str, lines: &str) -> Target {
    let text = format!(
        "[targets.app]\nconnector = \"hostile\"\napply = \"auto\"\n\
         settings = {{ behaviour = \"secret-send\", authority = \"127.0.0.1:{api}\", requests = [{{ method = \"{method}\", path = \"/x\", body = \"b\" }}] }}\n\
         [[targets.app.grants.http]]\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {api}\nprivate-addresses = true\n\
         [[targets.app.grants.sql]]\nendpoint = \"app\"\nsqlite = \"/nonexistent/app.db\"\n\
         [targets.app.http-auth.oauth2]\ntoken-url = \"http://127.0.0.1:{tokens}/token\"\nprivate-addresses = true\nclient-id = \"usher\"\n{lines}\n",
        api = api.port,
        tokens = tokens.port,
    );
    let targets = parse("targets.toml", &text).unwrap().targets;
    targets.into_values().next().unwrap()
}

const CLIENT: &str = "client-secret = { env = \"CLIENT\" }";
const REFRESH: &str = "client-secret = { env = \"CLIENT\" }\nrefresh-token = { store = \"refresh\" }";

fn secrets() -> FixedSecrets {
    FixedSecrets::none()
        .with("CLIENT", "client-secret-1")
        .with("refresh", "refresh-0000")
}

async fn load(target: &Target, secrets: &(impl Secrets + Clone + 'static)) -> Arc<Generation> {
    let component = usher_tests::component("usher-guest-hostile");
    let loaded = sandbox().load(component, target, Arc::new(secrets.clone())).await;
    loaded.unwrap()
}

/// Secrets in a store that has its bad times.
#[derive(Clone)]
struct Ailing {
    secrets: FixedSecrets,
    /// Nothing can be kept.
    full: Arc<AtomicBool>,
    /// What is in the store cannot be had.
    gone: Arc<AtomicBool>,
    /// What is in the store is told as it was at first.
    stale: Option<&'static str>,
    looks: Arc<AtomicUsize>,
}

impl Ailing {
    fn new() -> Self {
        Self {
            secrets: secrets(),
            full: Arc::default(),
            gone: Arc::default(),
            stale: None,
            looks: Arc::default(),
        }
    }
}

#[async_trait]
impl Secrets for Ailing {
    async fn resolve(&self, reference: &SecretReference) -> Result<SecretString, String> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        match (reference, self.stale) {
            (SecretReference::Store(_), _) if self.gone.load(Ordering::SeqCst) => {
                Err("the store is down".to_owned())
            }
            (SecretReference::Store(_), Some(stale)) => Ok(SecretString::new(stale)),
            _ => self.secrets.resolve(reference).await,
        }
    }

    async fn keep(&self, reference: &SecretReference, secret: &SecretString) -> Result<Kept, String> {
        if self.full.load(Ordering::SeqCst) {
            return Err("the store is full".to_owned());
        }
        self.secrets.keep(reference, secret).await
    }

    fn placeholder_bytes(&self) -> [u8; PLACEHOLDER_BYTES] {
        self.secrets.placeholder_bytes()
    }
}

fn stored() -> SecretReference {
    SecretReference::Store("refresh".parse().unwrap())
}

/// Gives a new refresh token each time, which voids the one before: `refresh-0001`, `refresh-0002` and so on. Its access tokens end at once.
async fn rotating() -> Peer {
    let count = AtomicUsize::new(0);
    let valid = Mutex::new("refresh-0000".to_owned());
    Peer::start(move |asked: &Asked| {
        let mut valid = valid.lock().unwrap();
        if !asked.body.contains(&format!("refresh_token={valid}")) {
            return answer(400, r#"{"error":"invalid_grant"}"#);
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        *valid = format!("refresh-{number:04}");
        let token =
            json!({ "access_token": format!("token-{number:04}"), "expires_in": 0, "refresh_token": *valid });
        answer(200, token.to_string())
    })
    .await
}

async fn call(generation: &Generation) -> Result<String, CallError> {
    let account = generation.create(&write(), &login("ada")).await?;
    Ok(account.attributes["answers"][0].as_str().unwrap().to_owned())
}

/// Gives `token-0001`, `token-0002` and so on.
async fn counting(expires_in: u32) -> Peer {
    let count = AtomicUsize::new(0);
    Peer::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let token = json!({ "access_token": format!("token-{number:04}"), "token_type": "Bearer", "expires_in": expires_in });
        answer(200, token.to_string())
    })
    .await
}

/// Accepts only the token named last.
fn accepting(good: &Arc<Mutex<String>>) -> impl Fn(&Asked) -> Answer + Send + Sync + use<> {
    let good = Arc::clone(good);
    move |asked| {
        if asked.header("authorization") == format!("Bearer {}", good.lock().unwrap()) {
            answer(200, "welcome")
        } else {
            answer(401, "who are you?")
        }
    }
}

#[tokio::test]
async fn one_token_serves_all_workers_and_the_next_generation() {
    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, counting(3600).await);
    let target = target(
        &api,
        &tokens,
        "POST",
        &format!(
            "{CLIENT}\nscope = \"users.write\"\naudience = \"app\"\nparameters = {{ resource = \"r\" }}"
        ),
    );
    let generation = load(&target, &secrets()).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let generation = Arc::clone(&generation);
            tokio::spawn(async move { call(&generation).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap().ends_with(" ok"));
    }
    drop(generation);
    call(load(&target, &secrets()).await.as_ref()).await.unwrap();
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&scope=users.write&audience=app&resource=r"
    );
    // `usher:client-secret-1`; the hyphens are as they are.
    assert_eq!(
        asked[0].header("authorization"),
        "Basic dXNoZXI6Y2xpZW50LXNlY3JldC0x"
    );
    assert_eq!(api.asked().len(), 9);
    assert!(
        api.asked()
            .iter()
            .all(|asked| asked.header("authorization") == "Bearer token-0001")
    );
}

#[tokio::test]
async fn a_token_at_its_end_is_renewed_and_a_changed_client_secret_noticed() {
    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, counting(0).await);
    let generation = load(
        &target(&api, &tokens, "GET", &format!("{CLIENT}\nclient-auth = \"body\"")),
        &secrets(),
    )
    .await;
    call(&generation).await.unwrap();
    call(&generation).await.unwrap();
    assert_eq!(tokens.asked().len(), 2, "expires at once");

    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, counting(3600).await);
    let secrets = secrets();
    let generation = load(
        &target(&api, &tokens, "GET", &format!("{CLIENT}\nclient-auth = \"body\"")),
        &secrets,
    )
    .await;
    call(&generation).await.unwrap();
    secrets.set("CLIENT", "client-secret-2");
    call(&generation).await.unwrap();
    let sent: Vec<String> = tokens.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        sent,
        [
            "grant_type=client_credentials&client_id=usher&client_secret=client-secret-1",
            "grant_type=client_credentials&client_id=usher&client_secret=client-secret-2",
        ]
    );
    assert_eq!(api.asked()[1].header("authorization"), "Bearer token-0002");
}

#[tokio::test]
async fn a_token_that_was_accepted_and_is_refused_now_is_replaced_once() {
    let good = Arc::new(Mutex::new("token-0001".to_owned()));
    let (api, tokens) = (Peer::start(accepting(&good)).await, counting(3600).await);
    let generation = load(&target(&api, &tokens, "POST", CLIENT), &secrets()).await;
    assert!(call(&generation).await.unwrap().ends_with("welcome"));
    // Revoked before its time. A 401 says that nothing was done, so the write is sent again with the next token.
    *good.lock().unwrap() = "token-0002".to_owned();
    assert!(call(&generation).await.unwrap().ends_with("welcome"));
    assert_eq!((tokens.asked().len(), api.asked().len()), (2, 3));
    assert!(api.asked().iter().all(|asked| asked.body == "b"));
    // No token is good any more: one more is tried, then the connector is told, and the token endpoint left in peace.
    *good.lock().unwrap() = "none".to_owned();
    for _ in 0..3 {
        assert!(call(&generation).await.unwrap().starts_with("401 "));
    }
    assert_eq!(tokens.asked().len(), 3);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_where_the_old_one_stood() {
    let tokens = rotating().await;
    let api = Peer::start(|_| answer(200, "ok")).await;
    let secrets = secrets();
    let generation = load(&target(&api, &tokens, "GET", REFRESH), &secrets).await;
    for _ in 0..3 {
        call(&generation).await.unwrap();
    }
    let sent: Vec<String> = tokens.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        sent,
        [0, 1, 2].map(|number| format!("grant_type=refresh_token&refresh_token=refresh-000{number}"))
    );
    let kept: SecretString = secrets.resolve(&stored()).await.unwrap();
    assert_eq!(kept.expose(), "refresh-0003");
    // Somebody set another one: it is void there, which is told; nothing is sent to the target.
    secrets.set("refresh", "refresh-wrong");
    let before = api.asked().len();
    let error = call(&generation).await.unwrap_err();
    assert_eq!((error.kind, error.effect), (ErrorKind::AuthFailed, Effect::None));
    assert!(
        error.message.contains("authorise Usher again"),
        "{}",
        error.message
    );
    assert_eq!(api.asked().len(), before);
}

#[tokio::test]
async fn a_rotated_refresh_token_that_cannot_be_written_is_kept_in_memory() {
    let count = AtomicUsize::new(0);
    let tokens = Peer::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let token = json!({ "access_token": "token-xyz", "expires_in": 0, "refresh_token": format!("next-{number}") });
        answer(200, token.to_string())
    })
    .await;
    let api = Peer::start(|_| answer(200, "ok")).await;
    let target = target(&api, &tokens, "GET", "refresh-token = { env = \"refresh\" }");
    let generation = load(&target, &secrets()).await;
    call(&generation).await.unwrap();
    call(&generation).await.unwrap();
    let sent: Vec<String> = tokens.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        sent,
        [
            "grant_type=refresh_token&refresh_token=refresh-0000&client_id=usher",
            "grant_type=refresh_token&refresh_token=next-1&client_id=usher",
        ]
    );
}

#[tokio::test]
async fn a_rotated_refresh_token_that_could_not_be_kept_is_not_lost_and_kept_later() {
    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, rotating().await);
    let secrets = Ailing::new();
    let generation = load(&target(&api, &tokens, "GET", REFRESH), &secrets).await;
    secrets.full.store(true, Ordering::SeqCst);
    call(&generation).await.unwrap();
    // Now nothing can be read either. What the server gave is in memory and goes on.
    secrets.gone.store(true, Ordering::SeqCst);
    call(&generation).await.unwrap();
    let sent: Vec<String> = tokens.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        sent,
        [0, 1].map(|number| format!("grant_type=refresh_token&refresh_token=refresh-000{number}"))
    );
    // The store is well again: the token gets there without another request.
    secrets.gone.store(false, Ordering::SeqCst);
    secrets.full.store(false, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(20);
    while secrets.resolve(&stored()).await.unwrap().expose() != "refresh-0002" {
        assert!(Instant::now() < until, "not kept again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    call(&generation).await.unwrap();
    assert!(tokens.asked()[2].body.ends_with("refresh-0002"));
}

#[tokio::test]
async fn a_refresh_token_that_was_kept_is_used_even_if_the_old_one_is_still_read() {
    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, rotating().await);
    let secrets = Ailing {
        stale: Some("refresh-0000"),
        ..Ailing::new()
    };
    let generation = load(&target(&api, &tokens, "GET", REFRESH), &secrets).await;
    call(&generation).await.unwrap();
    call(&generation).await.unwrap();
    // The old one again would look like theft to the server.
    let sent: Vec<String> = tokens.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        sent,
        [0, 1].map(|number| format!("grant_type=refresh_token&refresh_token=refresh-000{number}"))
    );
}

#[tokio::test]
async fn a_connector_that_provokes_401_does_not_hammer_the_token_endpoint() {
    let tokens = counting(3600).await;
    let api = Peer::start(|asked| answer(if asked.path_and_query == "/no" { 401 } else { 200 }, "x")).await;
    let mut target = target(&api, &tokens, "GET", CLIENT);
    // Each token is accepted once, so that each is known to be good.
    let pair = [
        json!({ "method": "GET", "path": "/yes" }),
        json!({ "method": "GET", "path": "/no" }),
    ];
    target.settings["requests"] = pair.iter().cycle().take(20).cloned().collect();
    call(load(&target, &secrets()).await.as_ref()).await.unwrap();
    assert_eq!(tokens.asked().len(), 3, "the first and two renewals");
}

#[tokio::test]
async fn what_is_sent_again_counts_again_and_a_secret_is_looked_up_once() {
    let good = Arc::new(Mutex::new("token-0001".to_owned()));
    let (api, tokens) = (Peer::start(accepting(&good)).await, counting(3600).await);
    let mut target = target(&api, &tokens, "POST", CLIENT);
    target.limits.transfer_kib = 1;
    target.settings["requests"][0]["body"] = json!("b".repeat(600));
    let secrets = Ailing::new();
    let generation = load(&target, &secrets).await;
    assert!(call(&generation).await.unwrap().ends_with("welcome"));
    let before = secrets.looks.load(Ordering::SeqCst);
    assert!(call(&generation).await.unwrap().ends_with("welcome"));
    assert_eq!(secrets.looks.load(Ordering::SeqCst) - before, 1);
    // Twice 600 bytes are more than 1 KiB: the request is not sent again.
    *good.lock().unwrap() = "token-0002".to_owned();
    assert!(call(&generation).await.unwrap().starts_with("401 "));
    assert_eq!(api.asked().len(), 3);
}

#[tokio::test]
async fn why_there_is_no_token_is_told_in_the_operator_s_words() {
    let cases = [
        (
            answer(
                401,
                r#"{"error":"invalid_client","error_description":"client-secret-1 is wrong"}"#,
            ),
            ErrorKind::AuthFailed,
            "client-id",
        ),
        (answer(503, "down"), ErrorKind::Unavailable, "answered 503"),
        (answer(200, "<html>"), ErrorKind::Unavailable, "not JSON"),
        (
            answer(200, "x".repeat(100_000)),
            ErrorKind::Unavailable,
            "more than 65536 bytes",
        ),
        (answer(302, ""), ErrorKind::Misconfigured, "token-url"),
    ];
    for (given, kind, says) in cases {
        let given = Mutex::new(Some(given));
        let tokens =
            Peer::start(move |_| given.lock().unwrap().take().unwrap_or_else(|| answer(500, ""))).await;
        let api = Peer::start(|_| answer(200, "ok")).await;
        let generation = load(&target(&api, &tokens, "POST", CLIENT), &secrets()).await;
        let error = call(&generation).await.unwrap_err();
        assert_eq!(
            (error.kind, error.effect),
            (kind, Effect::None),
            "{}",
            error.message
        );
        assert!(error.message.contains(says), "{}", error.message);
        assert!(!error.message.contains("client-secret-1"), "{}", error.message);
        assert_eq!(api.asked().len(), 0);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let tokens = Peer::start(|_| {
        let mut busy = answer(429, "");
        busy.headers_mut().insert("retry-after", "30".parse().unwrap());
        busy
    })
    .await;
    let api = Peer::start(|_| answer(200, "ok")).await;
    let generation = load(&target(&api, &tokens, "GET", CLIENT), &secrets()).await;
    for _ in 0..3 {
        let error = call(&generation).await.unwrap_err();
        assert_eq!(
            (error.kind, error.retry_after_ms),
            (ErrorKind::RateLimited, Some(30_000))
        );
    }
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_is_under_egress_and_out_of_the_connector_s_reach() {
    let (api, tokens) = (Peer::start(|_| answer(200, "ok")).await, counting(3600).await);
    // The connector asks the token endpoint itself.
    let mut reaching = target(&api, &tokens, "POST", CLIENT);
    reaching.settings["authority"] = json!(format!("127.0.0.1:{}", tokens.port));
    reaching.settings["requests"][0]["path"] = json!("/token");
    let error = call(load(&reaching, &secrets()).await.as_ref())
        .await
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Denied(_)), "{error:?}");
    assert_eq!(tokens.asked().len(), 0);
    // A private address needs its flag for Usher's own calls too.
    let mut private = target(&api, &tokens, "GET", CLIENT);
    if let Some(usher_lifecycle::targets::HttpAuth::OAuth2(oauth2)) = &mut private.http_auth {
        oauth2.private_addresses = false;
    }
    let error = call(load(&private, &secrets()).await.as_ref()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured, "{error:?}");
    assert_eq!((tokens.asked().len(), api.asked().len()), (0, 0));
}
