"""The console: where people see events, and describe and archive them.

request ─▶ guard (session, role, CSRF, gate) ─▶ a page's `answer` ─▶ services ─▶ templates ─▶ policy (headers)

Pages are declared in one list (`pages.Page`), of which the routes and the test of every role on every
route are made. Each module of a page reads services and names a template; nothing here knows SQL. Every
page works without scripts; with them (htmx, and `static/console.js`) parts of it are replaced in place.
"""
