// One way to answer, so that no route forgets that nothing may be cached.
export function json(body, status = 200) {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}

export function failure(status, error) {
  return json({ ok: false, error }, status);
}
