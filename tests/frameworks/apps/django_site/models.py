from __future__ import annotations

from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=100)
    stock = models.IntegerField(default=0)


class Sale(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="sales")
    customer = models.CharField(max_length=100)
