from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("hello/<name>", views.hello, name="hello"),
    path("query", views.query),
    path("form", views.form),
    path("json", views.json),
    path("upload", views.upload),
    path("cookies", views.cookies),
    path("cookies/set", views.set_cookies),
    path("stream/<int:blocks>", views.stream),
    path("old/<name>", views.old),
    path("download", views.download),
    path("boom", views.boom),
    path("events/<kind>", views.event),
    path("orders/<int:number>", views.Order.as_view()),
    path("items", views.items),
    path("items/<int:pk>", views.item),
    path("items/<int:pk>/sales", views.sell),
    path("token", views.token),
    path("login", views.log_in),
    path("whoami", views.whoami),
    path("connections", views.held_connections),
]
