"""Countries and cities, shaped like Sakila's, and what has been loaded into them."""

from alembic import op

revision = "0001"
down_revision = None

# utf8mb4_unicode_520_ci is the newest collation that MariaDB and MySQL share: case and accents do
# not count, and unlike in utf8mb4_unicode_ci two emoji are two letters.
TABLE = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci"
CODE = "CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL"
LAST_UPDATE = "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"

COUNTRY = f"""
CREATE TABLE IF NOT EXISTS country (
    country_id INT UNSIGNED NOT NULL,
    country VARCHAR(100) NOT NULL,
    iso2 CHAR(2) {CODE},
    iso3 CHAR(3) {CODE},
    continent CHAR(2) {CODE},
    capital VARCHAR(100) NOT NULL,
    population BIGINT UNSIGNED NOT NULL,
    last_update {LAST_UPDATE},
    PRIMARY KEY (country_id),
    UNIQUE KEY country_iso2 (iso2)
) {TABLE}
"""

# Both indexes hold cities of one name with the most populous first: what the API promises, and what
# a plain SELECT city_id FROM city WHERE city = 'London' therefore meets first, too.
CITY = f"""
CREATE TABLE IF NOT EXISTS city (
    city_id INT UNSIGNED NOT NULL,
    city VARCHAR(200) NOT NULL,
    country_id INT UNSIGNED NOT NULL,
    population INT UNSIGNED NOT NULL,
    latitude DOUBLE NOT NULL,
    longitude DOUBLE NOT NULL,
    last_update {LAST_UPDATE},
    PRIMARY KEY (city_id),
    KEY city_name (city, population DESC, city_id),
    KEY city_country (country_id, city, population DESC, city_id),
    CONSTRAINT city_of_country FOREIGN KEY (country_id) REFERENCES country (country_id)
) {TABLE}
"""

DATASET = f"""
CREATE TABLE IF NOT EXISTS dataset (
    name VARCHAR(50) NOT NULL,
    version VARCHAR(50) NOT NULL,
    loaded_at {LAST_UPDATE},
    PRIMARY KEY (name)
) {TABLE}
"""


def upgrade() -> None:
    for statement in (COUNTRY, CITY, DATASET):
        op.execute(statement)
