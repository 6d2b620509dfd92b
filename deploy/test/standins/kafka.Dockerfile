# In the place of apache/kafka, and of confluentinc/cp-kafka for testcontainers; the jars are Maven's (deploy/kafka).
FROM saga-standin/debian
RUN apt-get update -q && apt-get install -q -y --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists
COPY kafka/target/jars /opt/kafka/libs
COPY test/standins/log4j2.properties /opt/kafka/config/log4j2.properties
COPY test/standins/kafka.py /opt/kafka/run
COPY test/standins/confluent /etc/confluent/docker
RUN chmod 0755 /opt/kafka/run /etc/confluent/docker/* && ln -s /opt/kafka/run /usr/local/bin/kafka-storage \
 && useradd --uid 1000 --create-home appuser \
 && install -d -o appuser /var/lib/kafka/data /etc/kafka && chown -R appuser /etc/confluent
USER appuser
VOLUME /var/lib/kafka/data
EXPOSE 9092
CMD ["/opt/kafka/run"]
