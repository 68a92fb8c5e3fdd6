-- Input of sqlite3.vmt: a table filled in bulk, an index, single inserts, selects by the index.
create table person(id integer primary key, name text, age integer, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 400)
insert into person select i, 'name' || (i * 7919 % 10007), i * 31 % 97, hex(zeroblob(40)) from n;
create index person_name on person(name);
insert into person values (1001, 'ada', 36, 'x');
insert into person values (1002, 'grace', 85, 'y');
insert into person values (1003, 'edsger', 72, 'z');
select id, age from person where name = 'name7919';
select id, age from person where name = 'name5831';
select id, age from person where name = 'name3743';
select id, age from person where name between 'name20' and 'name25' order by name;
select age, count(*) from person group by age having count(*) > 4 order by 2 desc limit 5;
update person set age = age + 1 where name = 'grace';
select p.id, q.id from person p join person q on p.age = q.age and p.name < q.name where p.id < 20;
select count(*), sum(age) from person;
