# The mock in a container:
#
#   docker build -t wan-mock . && docker run --rm -p 8600:8600 wan-mock
#
# Clients then use http://127.0.0.1:8600/api/v1 with any key. Options of `wanspec mock serve` go behind the name of the image:
# docker run --rm -p 8600:8600 wan-mock --speed 60 --seed 1
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wanspec ./wanspec
COPY mock_server ./mock_server
RUN python -m venv /opt/wanspec
RUN /opt/wanspec/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.11-slim
COPY --from=build /opt/wanspec /opt/wanspec
USER 10001:10001
EXPOSE 8600
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/opt/wanspec/bin/python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8600/_mock/health', timeout=2)"]
ENTRYPOINT ["/opt/wanspec/bin/wanspec", "mock", "serve", "--host", "0.0.0.0", "--port", "8600"]
