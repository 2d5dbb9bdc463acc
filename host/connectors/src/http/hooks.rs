//! The egress as one call sees it: where the WASI host hands over what a guest sends.

use std::sync::Arc;

use http::{Request, Response};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::{HttpEgress, headers};
use crate::journal::Journal;
use crate::placeholders::Placeholders;

/// Most bytes a guest hands over in one write.
const REQUEST_CHUNK_BYTES: usize = 64 * 1024;

/// The egress as one call sees it.
pub(crate) struct HttpHooks {
    pub(crate) egress: Arc<HttpEgress>,
    pub(crate) journal: Arc<Journal>,
    /// What stands for the target's secrets in this call.
    pub(crate) placeholders: Placeholders,
}

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(headers::is_forbidden)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        REQUEST_CHUNK_BYTES
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send> {
        let sending = Arc::clone(&self.egress).send(
            request,
            options.unwrap_or_default(),
            Arc::clone(&self.journal),
            self.placeholders.clone(),
        );
        Box::new(async move {
            let response = sending.await?;
            // The pool drives the connection; there is nothing left to do here.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Transmission))
        })
    }
}

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;
