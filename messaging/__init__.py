"""Kafka, in one place: settings, producer, consumer, topics, dead letters, the embedded broker.

It moves bytes and knows nothing of sagas. Above it nobody sees aiokafka or its errors.
"""
