"""Twin of a Kirkpatrick-Baez pair: two bendable elliptical mirrors that focus an X-ray beam."""
