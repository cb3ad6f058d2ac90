// Says which regions there are. It keeps nothing.
const regions = [
  { code: "eu", name: "Europe" },
  { code: "na", name: "North America" },
  { code: "ap", name: "Asia and Pacific" },
];

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname !== "/regions") {
      return Response.json({ error: "not found" }, { status: 404 });
    }
    return Response.json({ regions }, { headers: { "cache-control": "no-store" } });
  },
};
