# One image for every process of Aisle: portal, workers, dispatcher, agent, gateway, model servers.
FROM python:3.11-slim-bookworm

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY manage.py pyproject.toml ./
COPY engine engine
COPY portal portal
COPY models_app models_app
COPY deployments_app deployments_app
COPY monitoring_app monitoring_app
COPY templates templates
COPY static static

# Kernels are compiled into the image; at run time the code is read-only.
ENV NUMBA_CACHE_DIR=/app/kernels PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=portal.settings AISLE_HOME=/var/lib/aisle
RUN python -c "from engine.warmup import warm_up; warm_up()" \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/aisle /var/lib/aisle/static
USER 10001:10001
VOLUME /var/lib/aisle
CMD ["python", "-m", "uvicorn", "portal.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--lifespan", "off", "--no-access-log", "--no-server-header"]
