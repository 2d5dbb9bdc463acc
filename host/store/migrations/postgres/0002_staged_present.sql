-- One more `change`, 3: present, but in a row that cannot be used.
ALTER TABLE staged DROP CONSTRAINT staged_change_check;
ALTER TABLE staged ADD CONSTRAINT staged_change_check CHECK (change BETWEEN 0 AND 3);
