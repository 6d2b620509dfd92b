# In the place of python:3.13-slim; the Python is Debian's.
FROM saga-standin/debian
RUN ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3
CMD ["python3"]
