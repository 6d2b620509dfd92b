"""The participants' side: from a command on Kafka to a reply, with the effect happening at most once.

What a service developer needs::

    from kafka_saga import Participant, Rejected, Transaction

    inventory = Participant("inventory")

    @inventory.action(ReserveItems)
    async def reserve_items(command: ReserveItems, tx: Transaction) -> ItemsReserved:
        if not await tx.execute("UPDATE stock SET …", (…)):
            raise Rejected("out of stock: lamp")
        return ItemsReserved(reservation_id="…")

Read `worker` first (a command's path), then `fence` (the table of R14) and `guard` (what carries it out).
"""
