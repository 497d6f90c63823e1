-- wrk: submits minimal jobs.
wrk.method = "POST"
wrk.body = '{"job_queue": "wrk"}'
wrk.headers["Content-Type"] = "application/json"
